//! The model card beside an adapter.

use std::fmt::Write as _;

use crate::engine::peft::Adapter;

/// What an adapter's folder says of itself beyond its weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCard {
    /// The model that it adapts: a Hub id or a path. Empty when unknown.
    pub base_model: String,
    /// Commit, branch or tag of that model.
    pub revision: Option<String>,
    /// Settings of the training in the order to show, such as `("Learning rate", "2e-4")`.
    pub settings: Vec<(String, String)>,
    /// The chat template of the training, where it is not the model's own: whoever talks to the adapter needs it.
    pub chat_template: Option<String>,
}

impl ModelCard {
    /// A card that knows the model's name only.
    pub fn of(base_model: impl Into<String>) -> ModelCard {
        ModelCard { base_model: base_model.into(), ..ModelCard::default() }
    }

    /// The card as Markdown under the Hub's YAML header.
    pub(super) fn markdown(&self, adapter: &Adapter) -> String {
        // A JSON string is a YAML string.
        let quoted = |s: &str| serde_json::Value::from(s).to_string();
        let named = !self.base_model.is_empty();
        let mut text = String::from("---\n");
        if named {
            let _ = writeln!(text, "base_model: {}", quoted(&self.base_model));
        }
        text.push_str("library_name: peft\npipeline_tag: text-generation\ntags:\n");
        if named {
            let _ = writeln!(text, "- {}", quoted(&format!("base_model:adapter:{}", self.base_model)));
        }
        text.push_str("- lora\n- transformers\n---\n\n# LoRA adapter");
        if named {
            let _ = write!(text, " of {}", self.base_model);
        }
        text.push_str("\n\nTrained with LoRA Studio.\n\n| Setting | Value |\n|---|---|\n");
        let config = &adapter.config;
        let targets: Vec<_> = config.targets.iter().map(|k| k.name()).collect();
        let mut rows = vec![
            ("Rank".to_owned(), config.rank.to_string()),
            ("Alpha".to_owned(), config.alpha.to_string()),
            ("Dropout".to_owned(), config.dropout.to_string()),
            ("Scale".to_owned(), if config.rslora { "α/√r (rsLoRA)" } else { "α/r" }.to_owned()),
            ("Modules".to_owned(), targets.join(", ")),
            ("Parameters".to_owned(), adapter.params.len().to_string()),
        ];
        rows.extend(self.revision.iter().map(|r| ("Revision of the base model".to_owned(), r.clone())));
        rows.extend(self.settings.iter().cloned());
        let cell = |s: &str| s.replace('|', "\\|").replace(['\n', '\r'], " ");
        for (name, value) in &rows {
            let _ = writeln!(text, "| {} | {} |", cell(name), cell(value));
        }
        if named {
            let _ = write!(
                text,
                "\n## Use\n\n```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n\
                 base = AutoModelForCausalLM.from_pretrained({})\n\
                 model = PeftModel.from_pretrained(base, \"path/to/this/folder\")\n```\n",
                quoted(&self.base_model)
            );
        }
        text
    }
}
