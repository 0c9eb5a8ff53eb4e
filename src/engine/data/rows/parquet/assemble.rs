//! Columns to rows, by definition and repetition levels (Melnik et al. 2010, "Dremel", section 4.3).
//!
//! Every entry of a column has a repetition level, which says at which depth it begins a new list element (0: a new row),
//! and a definition level, which says how much of its path is there.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Fields;
use super::schema::{Node, Schema, Shape};
use super::values::{Column, Leaf};
use crate::engine::data::rows::MAX_ROW_BYTES;

/// Bytes that each value of a row counts for beside its text.
const VALUE_BYTES: usize = 4;

/// The columns of a batch, read entry by entry.
pub(super) struct Columns {
    columns: Vec<Column>,
    /// Why a value of the row cannot be read.
    wrong: Option<String>,
    /// Bytes of the row so far, about.
    bytes: usize,
}

impl Columns {
    pub fn new(columns: Vec<Column>) -> Columns {
        Columns { columns, wrong: None, bytes: 0 }
    }

    /// Passes over one entry of each column of a node.
    fn skip(&mut self, node: &Node) {
        self.columns[node.leaves.clone()].iter_mut().for_each(|column| column.at += 1);
    }
}

/// Puts the next row together. The inner error is of this row, the outer of all that come: levels that contradict each other.
pub(super) fn assemble(schema: &Schema, columns: &mut Columns) -> Result<Fields, String> {
    columns.bytes = 0;
    let mut fields = Map::new();
    for (name, node) in &schema.fields {
        fields.insert(name.clone(), value(node, columns, &schema.leaves)?);
    }
    if columns.columns.iter().any(|column| column.rep().is_some_and(|rep| rep != 0)) {
        return Err("the lengths of its lists contradict each other".into());
    }
    Ok(columns.wrong.take().map_or(Ok(fields), Err))
}

fn value(node: &Node, columns: &mut Columns, leaves: &[Arc<Leaf>]) -> Result<Value, String> {
    let first = node.leaves.start;
    let def = columns.columns[first].def().ok_or("a column is too short")?;
    if def < node.def {
        columns.skip(node);
        return Ok(Value::Null);
    }
    // Whether the list that the node is has one more element.
    let more = |columns: &Columns, level: i16| columns.columns[first].rep().is_some_and(|rep| rep >= level);
    match &node.shape {
        Shape::Leaf => {
            // The same text may be meant many times over.
            let wanted = columns.bytes <= MAX_ROW_BYTES;
            let cell = columns.columns[first].take(leaves[first].max_def, wanted)?;
            columns.bytes += VALUE_BYTES + cell.as_ref().ok().and_then(Value::as_str).map_or(0, str::len);
            if columns.bytes > MAX_ROW_BYTES {
                columns.wrong.get_or_insert_with(|| leaves[first].too_long());
            }
            Ok(cell.unwrap_or_else(|message| {
                columns.wrong.get_or_insert(message);
                Value::Null
            }))
        }
        Shape::Object(fields) => {
            let mut object = Map::new();
            for (name, field) in fields {
                object.insert(name.clone(), value(field, columns, leaves)?);
            }
            Ok(Value::Object(object))
        }
        Shape::List { item_def, .. } if def < *item_def => {
            columns.skip(node);
            Ok(Value::Array(Vec::new()))
        }
        Shape::List { rep, item, .. } => {
            let mut list = vec![value(item, columns, leaves)?];
            while more(columns, *rep) {
                list.push(value(item, columns, leaves)?);
            }
            Ok(Value::Array(list))
        }
        Shape::Map { item_def, .. } if def < *item_def => {
            columns.skip(node);
            Ok(Value::Object(Map::new()))
        }
        Shape::Map { rep, key, value: of_key, .. } => {
            let mut object = Map::new();
            loop {
                let name = match value(key, columns, leaves)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                object.insert(name, value(of_key, columns, leaves)?);
                if !more(columns, *rep) {
                    return Ok(Value::Object(object));
                }
            }
        }
    }
}
