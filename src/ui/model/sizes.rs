//! Which sizes of models fit into which memory, by the plan.

use eframe::egui::{CollapsingHeader, Grid, RichText, ScrollArea, Ui};

use crate::app::command::Commands;
use crate::app::{Command, Studio};
use crate::engine::memory::table::{Cell, ChatFile, MEMORIES, Row};
use crate::ui::busy;
use crate::ui::theme::palette;
use crate::ui::widgets::strong;
use crate::units::{bytes, grouped};

/// The table, folded together until it is asked for.
pub fn ui(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let header = CollapsingHeader::new("What fits into which memory").id_salt("sizes");
    header.show(ui, |ui| {
        if studio.sizes.unknown() {
            commands.send(Command::Sizes);
        }
        let text = "QLoRA of rank 16 on all linears, 512 tokens, one sequence at a time: the longest sequence that \
                    trains, and the longest conversation.";
        ui.label(RichText::new(text).weak());
        match studio.sizes.rows() {
            None => {
                busy::spinner(ui);
            }
            Some(rows) => {
                ScrollArea::horizontal().id_salt("sizes-scroll").show(ui, |ui| table(ui, rows));
            }
        }
    });
}

fn table(ui: &mut Ui, rows: &[Row]) {
    Grid::new("sizes-table").num_columns(MEMORIES.len() + 2).striped(true).spacing([18.0, 6.0]).show(ui, |ui| {
        ui.label(strong("Model"));
        ui.label(strong("At least"));
        MEMORIES.iter().for_each(|gib| {
            ui.label(strong(format!("{gib} GiB")));
        });
        ui.end_row();
        for row in rows {
            ui.label(&row.model);
            ui.label(bytes(row.least_bytes));
            row.cells.iter().for_each(|found| cell(ui, found));
            ui.end_row();
        }
    });
}

fn cell(ui: &mut Ui, cell: &Cell) {
    let p = palette(ui);
    let (text, color, hover) = match (cell.fits, &cell.change) {
        (true, _) => {
            let tokens = grouped(cell.train_tokens as u64);
            (tokens.clone(), p.good, format!("It trains, with sequences of up to {tokens} tokens."))
        }
        (false, Some(offer)) => ("changed".into(), p.warning, format!("It trains with {}.", offer.label())),
        (false, None) => ("no".into(), p.weak, "It does not train.".into()),
    };
    let chat = match (cell.chat_tokens, cell.chat_file) {
        (0, None) => "It does not answer either.".to_string(),
        (0, Some(ChatFile { kind, bits, tokens })) => format!(
            "As a GGUF file in {bits} bits ({kind}) it answers in conversations of up to {} tokens.",
            grouped(tokens as u64)
        ),
        (tokens, _) => format!("It answers in conversations of up to {} tokens.", grouped(tokens as u64)),
    };
    ui.label(RichText::new(text).color(color)).on_hover_text(format!("{hover}\n{chat}"));
}
