//! Rows to tokens: formats, chat templates, masks, packing.
//!
//! The way of a row: file → [`Source`] and [`Row`] → [`Reading::read`] → [`Conversation`] or document → [`Encoder`] →
//! [`Tokenized`] (tokens with a mask, on the disk) → [`Cut`] → [`plan_epoch`] → [`Sample`] → [`Batch`].
//!
//! ```
//! use lora_studio::engine::data::{Message, chat_template};
//!
//! let template = chat_template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")?;
//! let text = template.render(&[Message::user("2 + 2?"), Message::assistant("4")], None, false)?.text;
//! assert_eq!(text, "user: 2 + 2?\nassistant: 4\n");
//! # Ok::<(), String>(())
//! ```

mod batch;
mod check;
mod conversation;
mod encoder;
mod format;
mod inspect;
mod lengths;
mod load;
mod marks;
mod mask;
mod pack;
mod preview;
mod random;
mod report;
mod rows;
mod split;
mod survey;
mod template;
#[cfg(test)]
mod testing;
pub mod tokens;
mod words;

pub use batch::{Batch, Sample};
pub use check::{Finding, Fix, Severity, Topic};
pub use conversation::{Conversation, Example, Message, Oddity};
pub use encoder::{Encoded, Encoder, MaskFault, NO_END, template_names, template_source};
pub use format::{FieldOfFormat, Fields, Format, Reading, Reason, dataset_info};
pub use inspect::{Column, Inspection, inspect};
pub use lengths::LengthCounts;
pub use load::{Dataset, Samples, load, load_at};
pub use marks::{Mark, Why};
pub use mask::TurnShape;
pub use pack::{EpochPlan, plan_epoch};
pub use preview::{Preview, PreviewToken, Previewer};
pub use report::{Dropped, Report, Side, SourceReport};
pub use rows::{ENDINGS, Row, RowReader, Rows, Source, WrongRow};
pub use survey::{Cut, CutRow, Survey, survey, survey_first, survey_in};
pub use template::{ChatTemplate, Rendered, TemplateError, chat_template};
pub use tokens::Tokenized;
