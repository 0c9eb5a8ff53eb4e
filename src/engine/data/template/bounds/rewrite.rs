//! Finds the values of a template that need a check, by reading its expressions with the grammar of minijinja's parser.

mod statements;

use super::lexer::{Kind, Tag, Token};
use super::{CHECK, MAX_CHAIN, Refusal};

/// Filters that look at no more than the outside of what they are given, or that fuel pays for, byte by byte.
const CHEAP: [&str; 22] = [
    "abs",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "e",
    "escape",
    "first",
    "float",
    "indent",
    "int",
    "last",
    "length",
    "lower",
    "replace",
    "round",
    "safe",
    "title",
    "tojson",
    "trim",
    "upper",
];
/// Filters that make a text or a number of anything.
const SCALAR: [&str; 16] = [
    "abs",
    "capitalize",
    "count",
    "float",
    "format",
    "indent",
    "int",
    "join",
    "length",
    "lower",
    "replace",
    "string",
    "title",
    "tojson",
    "trim",
    "upper",
];
/// Parentheses and statements within one another; minijinja reads as many.
const MAX_NESTING: usize = 150;

/// What is known of the value of an expression before it is computed, the harmless first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    /// A text or a number that is written out in the template.
    Literal,
    /// A text or a number.
    Scalar,
    /// A list that is written out in the template, down to its texts and numbers.
    Written,
    /// What has a name, or is within what has one.
    Named,
    /// What was checked, or what a function or a filter made of such values.
    Known,
    /// Put together right here: as large as its parts and the source allow.
    Made,
}

/// A part of an expression.
#[derive(Clone, Copy, Debug)]
struct Operand {
    start: usize,
    end: usize,
    value: Value,
    /// Operations within one another.
    chain: usize,
}

/// What is put into the template, and where.
pub(super) struct Insert {
    pub at: usize,
    pub text: &'static str,
}

pub(super) struct Walker<'a> {
    source: &'a str,
    tokens: &'a [Token],
    /// Where the tag ends.
    end: usize,
    at: usize,
    nesting: usize,
    inserts: &'a mut Vec<Insert>,
}

type Read<T> = Result<T, Refusal>;

impl<'a> Walker<'a> {
    /// Reads a tag and notes what has to be put into it.
    pub fn walk(source: &'a str, tag: &'a Tag, inserts: &'a mut Vec<Insert>) -> Read<()> {
        let mut walker = Walker { source, tokens: &tag.tokens, end: tag.end, at: 0, nesting: 0, inserts };
        if !tag.block {
            walker.expression()?;
            return walker.done();
        }
        walker.statement()
    }

    fn expression(&mut self) -> Read<Operand> {
        self.nested(|walker| {
            let mut value = walker.binary(0)?;
            while walker.take("if") {
                let test = walker.binary(0)?;
                value = walker.join(value, test, value.value)?;
                if walker.take("else") {
                    let other = walker.expression()?;
                    value = walker.join(value, other, value.value.max(other.value))?;
                }
            }
            Ok(value)
        })
    }

    /// Operators, the weakest first.
    fn binary(&mut self, level: usize) -> Read<Operand> {
        match level {
            2 if self.is("not") => {
                let start = self.place();
                self.at += 1;
                let value = self.nested(|walker| walker.binary(2))?;
                return Ok(Operand { start, value: Value::Scalar, chain: value.chain + 1, ..value });
            }
            2 => return self.binary(3),
            3 => return self.comparison(),
            8 => return self.unary(),
            _ => {}
        }
        let operators: &[&str] = match level {
            0 => &["or"],
            1 => &["and"],
            4 => &["+", "-"],
            5 => &["~"],
            6 => &["*", "/", "//", "%"],
            _ => &["**"],
        };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = operators.iter().find(|operator| self.is(operator)) {
            self.at += 1;
            let right = self.binary(level + 1)?;
            let (least, most) = (left.value.min(right.value), left.value.max(right.value));
            let value = match *operator {
                "or" | "and" => most,
                // A text and a list cannot be added.
                "+" if least <= Value::Scalar => least.max(Value::Scalar),
                "+" => Value::Made,
                "*" => most.max(Value::Known),
                _ => Value::Scalar,
            };
            if *operator == "~" {
                self.check(left, Value::Made, CHECK);
                self.check(right, Value::Made, CHECK);
            }
            left = self.join(left, right, value)?;
            if *operator == "*" {
                left = self.check(left, Value::Named, CHECK);
            }
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Read<Operand> {
        let mut left = self.binary(4)?;
        let mut whole = left;
        loop {
            let negated = self.is("not") && self.tokens.get(self.at + 1).is_some_and(|t| self.text(t) == "in");
            if !negated && !["==", "!=", "<", "<=", ">", ">=", "in"].iter().any(|operator| self.is(operator)) {
                return Ok(whole);
            }
            self.at += if negated { 2 } else { 1 };
            let right = self.binary(4)?;
            // What is compared with a text or a number is not looked into, and a written list is short.
            if left.value > Value::Written && right.value > Value::Written {
                self.check(left, Value::Named, CHECK);
                self.check(right, Value::Named, CHECK);
            }
            whole = self.join(whole, right, Value::Scalar)?;
            left = Operand { chain: whole.chain, ..right };
        }
    }

    fn unary(&mut self) -> Read<Operand> {
        let value = self.negated()?;
        self.filters(value)
    }

    fn negated(&mut self) -> Read<Operand> {
        let start = self.place();
        if !self.take("-") {
            let value = self.primary()?;
            return self.postfix(value);
        }
        let value = self.nested(Self::negated)?;
        Ok(Operand { start, value: Value::Scalar, chain: value.chain + 1, ..value })
    }

    fn primary(&mut self) -> Read<Operand> {
        let Some(&token) = self.tokens.get(self.at) else { return Err(self.unread()) };
        self.at += 1;
        let mut value = Operand { start: token.start, end: token.end, value: Value::Literal, chain: 0 };
        match (token.kind, self.text(&token)) {
            (Kind::Name, "true" | "True" | "false" | "False" | "none" | "None") | (Kind::Number, _) => {}
            (Kind::Name, _) => value.value = Value::Named,
            (Kind::Text, _) => {
                while let Some(next) = self.tokens.get(self.at).filter(|token| token.kind == Kind::Text) {
                    value.end = next.end;
                    self.at += 1;
                }
            }
            (_, "(") => {
                let mut items = 0;
                while !self.take(")") {
                    let item = self.expression()?;
                    items += 1;
                    value.chain = value.chain.max(item.chain);
                    value.value = if items == 1 { item.value } else { Value::Made };
                    if self.take(",") {
                        value.value = Value::Made;
                    } else {
                        self.expect(")")?;
                        break;
                    }
                }
            }
            (_, open @ ("[" | "{")) => {
                let close = if open == "[" { "]" } else { "}" };
                value.value = Value::Written;
                while !self.take(close) {
                    let mut item = self.expression()?;
                    if open == "{" {
                        self.check(item, Value::Named, CHECK);
                        self.expect(":")?;
                        let key = item;
                        item = self.expression()?;
                        item.value = item.value.max(key.value);
                        item.chain = item.chain.max(key.chain);
                    }
                    value.chain = value.chain.max(item.chain);
                    if !matches!(item.value, Value::Literal | Value::Written) {
                        value.value = Value::Made;
                    }
                    if !self.take(",") {
                        self.expect(close)?;
                        break;
                    }
                }
            }
            _ => {
                self.at -= 1;
                return Err(self.unread());
            }
        }
        self.ended(value, 0)
    }

    fn postfix(&mut self, mut value: Operand) -> Read<Operand> {
        loop {
            if self.take(".") {
                self.at += 1;
                value.value = value.value.clamp(Value::Named, Value::Known);
            } else if self.take("[") {
                let mut slice = false;
                while !self.take("]") {
                    if self.take(":") {
                        slice = true;
                        continue;
                    }
                    let index = self.expression()?;
                    self.check(index, Value::Named, CHECK);
                    value.chain = value.chain.max(index.chain);
                    if !self.is("]") && !self.is(":") {
                        return Err(self.unread());
                    }
                }
                let known = value.value.max(Value::Known);
                value.value = if slice { known } else { value.value.clamp(Value::Named, Value::Known) };
            } else if self.is("(") {
                value.chain = value.chain.max(self.arguments()?);
                value.value = Value::Known;
            } else {
                return Ok(value);
            }
            value = self.ended(value, 1)?;
        }
    }

    /// What is given to a function, and how deep it is.
    fn arguments(&mut self) -> Read<usize> {
        self.expect("(")?;
        let mut chain = 0;
        while !self.take(")") {
            if !self.take("**") {
                self.take("*");
            }
            let named = |t: &[Token]| t[0].kind == Kind::Name && self.text(&t[1]) == "=";
            if self.tokens.get(self.at..self.at + 2).is_some_and(named) {
                self.at += 2;
            }
            let value = self.expression()?;
            chain = chain.max(value.chain);
            self.check(value, Value::Named, CHECK);
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(chain)
    }

    fn filters(&mut self, mut value: Operand) -> Read<Operand> {
        loop {
            if self.take("|") {
                let name = self.dotted_name()?;
                let from = if CHEAP.contains(&name) { Value::Made } else { Value::Named };
                value = self.check(value, from, CHECK);
                if self.is("(") {
                    value.chain = value.chain.max(self.arguments()?);
                }
                value.value = if SCALAR.contains(&name) { Value::Scalar } else { value.value.max(Value::Known) };
            } else if self.take("is") {
                self.take("not");
                self.dotted_name()?;
                let words = ["and", "or", "else", "is"];
                let argument = self.tokens.get(self.at).is_some_and(|token| match token.kind {
                    Kind::Name => !words.contains(&self.text(token)),
                    Kind::Symbol => ["+", "-", "[", "{"].contains(&self.text(token)),
                    _ => true,
                });
                if self.is("(") {
                    self.check(value, Value::Named, CHECK);
                    value.chain = value.chain.max(self.arguments()?);
                } else if argument {
                    let other = self.negated()?;
                    self.check(value, Value::Named, CHECK);
                    self.check(other, Value::Named, CHECK);
                    value.chain = value.chain.max(other.chain);
                }
                value.value = Value::Scalar;
            } else {
                return Ok(value);
            }
            value = self.ended(value, 1)?;
        }
    }

    fn dotted_name(&mut self) -> Read<&'a str> {
        let mut name = self.name().ok_or_else(|| self.unread())?;
        while self.take(".") {
            name = "";
            self.name().ok_or_else(|| self.unread())?;
        }
        Ok(name)
    }

    /// Puts a check around a value, if it is not smaller than `from`.
    fn check(&mut self, operand: Operand, from: Value, check: &'static str) -> Operand {
        if operand.value < from {
            return operand;
        }
        self.inserts.push(Insert { at: operand.start, text: "(" });
        self.inserts.push(Insert { at: operand.end, text: check });
        Operand { value: Value::Known, ..operand }
    }

    fn join(&mut self, left: Operand, right: Operand, value: Value) -> Read<Operand> {
        self.ended(Operand { value, chain: left.chain.max(right.chain), ..left }, 1)
    }

    /// The operand, which ends here with `links` more operations.
    fn ended(&mut self, operand: Operand, links: usize) -> Read<Operand> {
        let chain = operand.chain + links;
        if chain > MAX_CHAIN {
            return Err(Refusal::TooLong(operand.start));
        }
        let end = self.at.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(operand.end, |token| token.end);
        Ok(Operand { end, chain, ..operand })
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Read<Operand>) -> Read<Operand> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(Refusal::TooLong(self.place()));
        }
        let value = read(self);
        self.nesting -= 1;
        value
    }

    fn text(&self, token: &Token) -> &'a str {
        &self.source[token.start..token.end]
    }

    /// Whether a word or a sign is next.
    fn is(&self, text: &str) -> bool {
        let next = self.tokens.get(self.at);
        next.is_some_and(|token| matches!(token.kind, Kind::Name | Kind::Symbol) && self.text(token) == text)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.is(text);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, text: &str) -> Read<()> {
        if self.take(text) { Ok(()) } else { Err(self.unread()) }
    }

    fn name(&mut self) -> Option<&'a str> {
        let token = self.tokens.get(self.at).filter(|token| token.kind == Kind::Name)?;
        self.at += 1;
        Some(self.text(token))
    }

    fn done(&self) -> Read<()> {
        if self.at >= self.tokens.len() { Ok(()) } else { Err(self.unread()) }
    }

    fn unread(&self) -> Refusal {
        Refusal::Unread(self.place())
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |token| token.start)
    }
}
