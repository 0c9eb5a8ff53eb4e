//! Statements: what gets a name, and what is gone through.

use super::{Read, Value, Walker};
use crate::engine::data::template::bounds::{CHECK, CHECK_HELD, MAX_CHAIN, Refusal};

impl Walker<'_> {
    pub(super) fn statement(&mut self) -> Read<()> {
        let Some(name) = self.name() else { return Err(self.unread()) };
        match name {
            "set" => {
                let dotted = self.target(&["=", "|"])?;
                // A second name for the same value makes nothing larger; a field outlives the loop that it is set in.
                let (check, from) = if dotted { (CHECK_HELD, Value::Named) } else { (CHECK, Value::Known) };
                if self.take("=") {
                    loop {
                        let value = self.expression()?;
                        self.check(value, from, check);
                        if !self.take(",") || self.at == self.tokens.len() {
                            break;
                        }
                    }
                } else if self.take("|") {
                    self.filter_chain()?;
                }
            }
            "with" => {
                while self.at < self.tokens.len() {
                    self.target(&["="])?;
                    self.expect("=")?;
                    let value = self.expression()?;
                    self.check(value, Value::Known, CHECK);
                    if !self.take(",") {
                        break;
                    }
                }
            }
            "for" => {
                self.target(&["in"])?;
                self.expect("in")?;
                let items = self.binary(0)?;
                self.check(items, Value::Made, CHECK);
                if self.take("if") {
                    self.expression()?;
                }
                self.take("recursive");
            }
            "if" | "elif" | "do" | "autoescape" => {
                self.expression()?;
            }
            "macro" => {
                self.name();
                self.parameters()?;
            }
            "call" => {
                if self.is("(") {
                    self.parameters()?;
                }
                self.expression()?;
            }
            "filter" => self.filter_chain()?,
            "include" | "import" | "from" | "extends" => return Err(Refusal::OtherTemplates(self.place())),
            // The ends of blocks, and what has no values; minijinja says which it does not know.
            _ => return Ok(()),
        }
        self.done()
    }

    /// Passes over what is assigned to, up to one of the words; whether it is a field of something.
    fn target(&mut self, ends: &[&str]) -> Read<bool> {
        let (mut dotted, start) = (false, self.at);
        while self.at < self.tokens.len() && !ends.iter().any(|end| self.is(end)) {
            dotted |= self.is(".");
            self.at += 1;
            if self.at - start > MAX_CHAIN {
                return Err(Refusal::TooLong(self.place()));
            }
        }
        Ok(dotted)
    }

    fn parameters(&mut self) -> Read<()> {
        self.expect("(")?;
        while !self.take(")") {
            self.name().ok_or_else(|| self.unread())?;
            if self.take("=") {
                let value = self.expression()?;
                self.check(value, Value::Named, CHECK);
            }
            if !self.take(",") {
                return self.expect(")");
            }
        }
        Ok(())
    }

    fn filter_chain(&mut self) -> Read<()> {
        for _ in 0..MAX_CHAIN {
            self.dotted_name()?;
            if self.is("(") {
                self.arguments()?;
            }
            if !self.take("|") {
                return Ok(());
            }
        }
        Err(Refusal::TooLong(self.place()))
    }
}
