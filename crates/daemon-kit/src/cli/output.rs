//! The forms that results are printed in.

use crate::verbs::ShowAs;
use clap::ValueEnum;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
}

/// How results are printed, for products whose results are rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RowOutput {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
}

impl From<Output> for ShowAs {
    fn from(output: Output) -> Self {
        match output {
            Output::Table => Self::Table,
            Output::Json => Self::Json,
            Output::Jsonl => Self::JsonLines,
        }
    }
}

impl From<RowOutput> for ShowAs {
    // What is no list of rows of a product has no form in CSV.
    fn from(output: RowOutput) -> Self {
        match output {
            RowOutput::Table | RowOutput::Csv => Self::Table,
            RowOutput::Json => Self::Json,
            RowOutput::Jsonl => Self::JsonLines,
        }
    }
}
