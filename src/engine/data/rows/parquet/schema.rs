//! The shape of a Parquet file's rows: which columns make up which lists and objects.
//!
//! The rules for lists and maps, old writers' included, are those of the format's LogicalTypes.md.

use std::ops::Range;
use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, Repetition};
use ::parquet::schema::types::{SchemaDescriptor, Type};

use super::values::Leaf;

/// Levels of nesting that are read; as many as in JSON.
const DEPTH: usize = 120;

/// The columns and what they make up.
pub(super) struct Schema {
    pub fields: Vec<(String, Node)>,
    /// In the file's order.
    pub leaves: Vec<Arc<Leaf>>,
}

/// A value of a row.
#[derive(Debug)]
pub(super) struct Node {
    /// It is not null from this definition level on.
    pub def: i16,
    /// The columns that it is made of.
    pub leaves: Range<usize>,
    pub shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    Leaf,
    Object(Vec<(String, Node)>),
    /// There is an element from the definition level `item_def` on, and another one for each repetition level `rep`.
    List {
        rep: i16,
        item_def: i16,
        item: Box<Node>,
    },
    /// Likewise, of keys and values.
    Map {
        rep: i16,
        item_def: i16,
        key: Box<Node>,
        value: Box<Node>,
    },
}

impl Schema {
    pub fn of(descriptor: &SchemaDescriptor) -> Result<Schema, String> {
        let leaves: Vec<Arc<Leaf>> = descriptor.columns().iter().map(|column| Arc::new(Leaf::of(column))).collect();
        let mut next = 0;
        let mut fields = Vec::new();
        for field in children(descriptor.root_schema()) {
            fields.push((field.name().to_string(), node(field, 0, 0, &mut next, 0)?));
        }
        if next != leaves.len() {
            return Err("its columns do not fit its schema".into());
        }
        // Groups without a column carry nothing.
        fields.retain(|(_, node)| !node.leaves.is_empty());
        Ok(Schema { fields, leaves })
    }
}

fn children(group: &Type) -> &[Arc<Type>] {
    match group {
        Type::GroupType { fields, .. } => fields,
        Type::PrimitiveType { .. } => &[],
    }
}

fn is_repeated(field: &Type) -> bool {
    let info = field.get_basic_info();
    info.has_repetition() && info.repetition() == Repetition::REPEATED
}

/// A field with its own repetition. `def` and `rep` are the levels of what it stands in.
fn node(field: &Type, def: i16, rep: i16, next: &mut usize, depth: usize) -> Result<Node, String> {
    if depth > DEPTH {
        return Err(format!("its columns are nested more than {DEPTH} levels deep"));
    }
    if is_repeated(field) {
        let first = *next;
        let item = Box::new(content(field, def + 1, rep + 1, next, depth + 1)?);
        return Ok(Node { def, leaves: first..*next, shape: Shape::List { rep: rep + 1, item_def: def + 1, item } });
    }
    content(field, def + i16::from(field.is_optional()), rep, next, depth)
}

/// What is in a field, once it is there.
fn content(field: &Type, def: i16, rep: i16, next: &mut usize, depth: usize) -> Result<Node, String> {
    let first = *next;
    if field.is_primitive() {
        *next += 1;
        return Ok(Node { def, leaves: first..*next, shape: Shape::Leaf });
    }
    let info = field.get_basic_info();
    let (converted, logical) = (info.converted_type(), info.logical_type_ref());
    let (item_def, item_rep) = (def + 1, rep + 1);
    let shape = match children(field) {
        [only]
            if is_repeated(only)
                && (converted == ConvertedType::LIST || matches!(logical, Some(LogicalType::List))) =>
        {
            let old = only.name() == "array" || only.name() == format!("{}_tuple", field.name());
            let item = match children(only) {
                [element] if !old => node(element, item_def, item_rep, next, depth + 1)?,
                _ => content(only, item_def, item_rep, next, depth + 1)?,
            };
            Shape::List { rep: item_rep, item_def, item: Box::new(item) }
        }
        [only] if is_repeated(only) && children(only).len() == 2 && is_map(converted, logical) => {
            let pair = children(only);
            let key = Box::new(node(&pair[0], item_def, item_rep, next, depth + 1)?);
            let value = Box::new(node(&pair[1], item_def, item_rep, next, depth + 1)?);
            match key.leaves.is_empty() || value.leaves.is_empty() {
                true => return Err("it has a map without keys or values".into()),
                false => Shape::Map { rep: item_rep, item_def, key, value },
            }
        }
        fields => {
            let mut inner = Vec::new();
            for field in fields {
                inner.push((field.name().to_string(), node(field, def, rep, next, depth + 1)?));
            }
            inner.retain(|(_, node)| !node.leaves.is_empty());
            Shape::Object(inner)
        }
    };
    Ok(Node { def, leaves: first..*next, shape })
}

fn is_map(converted: ConvertedType, logical: Option<&LogicalType>) -> bool {
    matches!(converted, ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE) || matches!(logical, Some(LogicalType::Map))
}
