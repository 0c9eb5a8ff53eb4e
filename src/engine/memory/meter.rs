//! Measured beside planned: what a run has allocated and what the process held, item by item as far as items are
//! allocated one after the other.

use serde::{Deserialize, Serialize};

use super::plan::{Item, Phase, Plan};
use super::{heap, process};

/// A difference below this share of the plan is not worth a word.
const APART: f64 = 0.02;
/// What is allocated is told again when it has grown by this share.
const NEWS: f64 = 0.01;
/// The part of what is allocated after everything was there.
const BEYOND: &str = "what came after the first step";

/// Some items, as they were planned and as they were measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What they are: `weights`.
    pub name: String,
    /// Bytes that were planned.
    pub planned: u64,
    /// Bytes that were measured.
    pub measured: u64,
}

/// Everything that was measured so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The most that was planned to be allocated at a time so far, with the program; 0 where allocations are not counted.
    pub planned_allocated: u64,
    /// The most that was allocated at a time.
    pub allocated: u64,
    /// The most that the process was planned to hold of the main memory so far.
    pub planned_resident: u64,
    /// The most that it held, as far as it was looked at.
    pub resident: u64,
    /// Where the difference lies.
    pub parts: Vec<Part>,
    /// The part that is furthest from its plan, when the whole is more than 2 % apart.
    pub apart: Option<String>,
}

/// Measures a run against its plan.
#[derive(Clone, Debug)]
pub struct Meter {
    plan: Option<Plan>,
    /// Bytes that were allocated when the last part was taken.
    at: u64,
    measured: Vec<(&'static str, u64)>,
    highest: u64,
    /// The most beyond all parts that was allocated at a time, once they are all taken.
    beyond: Option<u64>,
    resident: u64,
    sampled: bool,
    saved: bool,
    /// What was told last.
    told: Option<Measured>,
}

impl Meter {
    /// Begins before the run takes anything.
    pub fn begin() -> Meter {
        heap::take_peak();
        let at = heap::live_bytes();
        Meter {
            plan: None,
            at,
            measured: Vec::new(),
            highest: at,
            beyond: None,
            resident: process::resident_bytes(),
            sampled: false,
            saved: false,
            told: None,
        }
    }

    /// What has been allocated since the last call is this part.
    pub fn part(&mut self, name: &'static str) {
        let live = heap::live_bytes();
        self.measured.push((name, live.saturating_sub(self.at)));
        self.at = live;
        self.look();
    }

    /// [`Meter::part`], after which nothing more is to stay: what is allocated beyond it is a part of its own.
    pub fn last_part(&mut self, name: &'static str) {
        self.part(name);
        self.beyond = Some(0);
    }

    /// The plan that is held against what is measured.
    pub fn plan(&mut self, plan: Plan) {
        self.plan = Some(plan);
    }

    /// Looks at what the process holds now.
    pub fn look(&mut self) {
        let peak = heap::take_peak();
        self.highest = self.highest.max(peak);
        self.beyond = self.beyond.map(|most| most.max(peak.saturating_sub(self.at)));
        self.resident = self.resident.max(process::resident_bytes());
    }

    /// The sample prompts have been answered: their buffers count from now on.
    pub fn answered(&mut self) {
        let peak = heap::take_peak();
        self.highest = self.highest.max(peak);
        self.resident = self.resident.max(process::resident_bytes());
        if !self.sampled {
            self.measured.push(("samples", peak.saturating_sub(self.at)));
            self.sampled = true;
        }
    }

    /// A checkpoint has been written: what that takes counts from now on.
    pub fn saved(&mut self) {
        self.look();
        self.saved = true;
    }

    /// What was found so far, where it is other than what was told last or something was done for the first time.
    pub fn news(&mut self) -> Option<Measured> {
        let found = self.measured()?;
        let same = |told: &Measured| {
            told.apart == found.apart
                && told.planned_allocated == found.planned_allocated
                && found.allocated.saturating_sub(told.allocated) as f64 <= NEWS * told.allocated as f64
        };
        if self.told.as_ref().is_some_and(same) {
            return None;
        }
        self.told = Some(found.clone());
        Some(found)
    }

    /// What was found so far; `None` without a plan.
    pub fn measured(&self) -> Option<Measured> {
        let plan = self.plan.as_ref()?;
        // What has not been done yet has taken nothing.
        let done = |phase| match phase {
            Phase::Sample => self.sampled,
            Phase::Save => self.saved,
            _ => true,
        };
        let planned = |mapped: bool| plan.most(|b| done(b.from) && (mapped || !b.mapped));
        let counts = heap::counts();
        let part = |(name, measured): &(&'static str, u64)| Part {
            name: name.to_string(),
            planned: plan.of_part(name),
            measured: *measured,
        };
        let mut parts: Vec<Part> = if counts { self.measured.iter().map(part).collect() } else { Vec::new() };
        if let Some(measured) = self.beyond.filter(|_| counts) {
            let saving = plan.buffers.iter().filter(|b| b.from == Phase::Save && done(b.from));
            let planned = saving.map(|b| b.bytes()).sum();
            parts.push(Part { name: BEYOND.into(), planned, measured });
        }
        let planned_allocated = if counts { planned(false) + plan.program.allocated } else { 0 };
        let found = Measured {
            planned_allocated,
            allocated: if counts { self.highest } else { 0 },
            planned_resident: planned(true) + plan.program.resident,
            resident: self.resident,
            apart: None,
            parts,
        };
        let apart = found.allocated.abs_diff(planned_allocated) as f64 > APART * planned_allocated as f64;
        let furthest = found.parts.iter().max_by_key(|p| p.measured.abs_diff(p.planned));
        let apart = furthest.filter(|_| counts && apart).map(|p| p.name.clone());
        Some(Measured { apart, ..found })
    }
}

impl Plan {
    /// The most that buffers of a kind need at a time.
    fn most(&self, of: impl Fn(&super::Buffer) -> bool) -> u64 {
        let in_phase = |phase| self.buffers.iter().filter(|b| of(b) && b.lives_in(phase)).map(|b| b.bytes()).sum();
        super::Phase::ALL.into_iter().map(in_phase).max().unwrap_or(0)
    }

    /// Bytes of a part that [`Meter::part`] measures.
    fn of_part(&self, name: &str) -> u64 {
        let of = |wanted: &dyn Fn(&super::Buffer) -> bool| {
            self.buffers.iter().filter(|b| !b.mapped && wanted(b)).map(|b| b.bytes()).sum()
        };
        let late = |b: &super::Buffer| {
            matches!(b.item, Item::Logits | Item::Batch) || (b.item == Item::Scratch && b.name.starts_with("products"))
        };
        match name {
            "workspace" => of(&|b| matches!(b.item, Item::Activations | Item::Scratch | Item::Rope) && !late(b)),
            "products and logits" => of(&late),
            name => of(&|b| b.item.name() == name && b.item != Item::Loading),
        }
    }
}
