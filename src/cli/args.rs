//! Arguments that several commands share.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::output::Failure;
use crate::engine::config::{DataConfig, RunConfig};

/// A parser of a setting's words, the same as in a run file.
pub(super) fn words<T>(allowed: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(allowed).try_map(|word: String| {
        let deserializer: StrDeserializer<'_, Error> = word.as_str().into_deserializer();
        T::deserialize(deserializer)
    })
}

/// Settings of the rows, changed by assignments as those of a run file: `data.columns.question=q`.
pub(super) fn with_changes(data: DataConfig, assignments: &[String]) -> Result<DataConfig, Failure> {
    let mut config = RunConfig { data, ..RunConfig::default() };
    for assignment in assignments {
        if !assignment.trim_start().starts_with("data.") {
            let message =
                format!("--set {assignment}: only keys of [data] can be set here, such as data.format=alpaca");
            return Err(Failure::Usage(message));
        }
        config.set(assignment).map_err(|e| Failure::Usage(format!("--set {assignment}: {e}")))?;
    }
    Ok(config.data)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::words;
    use crate::engine::config::{Checkpointing, LossOn, Quantization};
    use crate::engine::ops::Compute;

    #[derive(Debug, Parser)]
    struct Flags {
        #[arg(long, value_parser = words::<Quantization>(&["nf4", "none", "keep"]))]
        quantization: Quantization,
        #[arg(long, default_value = "f32", value_parser = words::<Compute>(&["bf16", "f32"]))]
        compute: Compute,
        #[arg(long, default_value = "all", value_parser = words::<LossOn>(&["completions", "all"]))]
        loss_on: LossOn,
        #[arg(long, default_value = "per-layer", value_parser = words::<Checkpointing>(&["none", "per-layer", "auto"]))]
        checkpointing: Checkpointing,
    }

    #[test]
    fn words_are_those_of_the_run_file() {
        let flags = Flags::try_parse_from(["x", "--quantization", "keep"]).unwrap();
        assert_eq!(flags.quantization, Quantization::Keep);
        assert_eq!((flags.compute, flags.loss_on), (Compute::F32, LossOn::All));
        assert_eq!(flags.checkpointing, Checkpointing::PerLayer);
        let wrong = Flags::try_parse_from(["x", "--quantization", "nf5"]).expect_err("nf5").to_string();
        assert!(wrong.contains("[possible values: nf4, none, keep]"), "{wrong}");
    }
}
