//! All findings together, for people and for programs.

use crate::{
    doctor::{Finding, Style, Verdict},
    exit::Exit,
    verbs::ShowAs,
};
use serde::Serialize;
use std::fmt;

/// All findings, in the order they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The gravest verdict; [`Verdict::Ok`] where nothing was found or all was skipped.
    pub fn worst(&self) -> Verdict {
        let verdicts = self.findings.iter().map(|finding| finding.verdict);
        verdicts.max().unwrap_or(Verdict::Ok).max(Verdict::Ok)
    }

    /// The exit status of `doctor`: 4 where something does not work, else 0, warnings included.
    pub fn exit(&self) -> Exit {
        match self.worst() {
            Verdict::Failure => Exit::Environment,
            Verdict::Skipped | Verdict::Ok | Verdict::Warning => Exit::Done,
        }
    }

    /// As `--output` asks for it: the list for people in `style`, one JSON document `{verdict, findings}`, or one JSON
    /// object a line for each finding.
    pub fn show(&self, show_as: ShowAs, style: Style) -> String {
        match show_as {
            ShowAs::Table => self.render(style),
            ShowAs::Json => {
                let verdict = self.worst();
                let document = serde_json::json!({"verdict": verdict, "findings": self.findings});
                format!("{document}\n")
            }
            ShowAs::JsonLines => {
                let line = |finding: &Finding| format!("{}\n", serde_json::json!(finding));
                self.findings.iter().map(line).collect()
            }
        }
    }

    /// The list for people: a line for each finding, its remedy below it, and the sums at the end.
    pub fn render(&self, style: Style) -> String {
        let length = |finding: &Finding| finding.check.chars().count();
        let width = self.findings.iter().map(length).max().unwrap_or(0);
        // Below the text of what was found: the sign, a space, the name, two spaces.
        let indent = " ".repeat(width + 4);
        let mut text = String::new();
        for finding in &self.findings {
            let mut lines = finding.found.lines();
            let gap = " ".repeat(width - length(finding));
            let first = lines.next().unwrap_or_default();
            text.push_str(&format!(
                "{} {}{gap}  {first}\n",
                sign(finding.verdict, style),
                finding.check
            ));
            for line in lines {
                text.push_str(format!("{indent}{line}").trim_end());
                text.push('\n');
            }
            for (number, line) in finding.remedy.iter().flat_map(|remedy| remedy.lines()).enumerate() {
                let label = if number == 0 { "remedy: " } else { "        " };
                text.push_str(&format!("{indent}{label}{line}\n"));
            }
        }
        text.push_str(&format!("\n{}\n", self.sums()));
        text
    }

    fn sums(&self) -> String {
        let count = |verdict| {
            self.findings
                .iter()
                .filter(|finding| finding.verdict == verdict)
                .count()
        };
        let sum = |verdict: Verdict, one: &str, many: &str| match count(verdict) {
            0 => None,
            1 => Some(format!("1 {one}")),
            number => Some(format!("{number} {many}")),
        };
        let sums = [
            sum(Verdict::Failure, "failure", "failures"),
            sum(Verdict::Warning, "warning", "warnings"),
            sum(Verdict::Ok, "ok", "ok"),
            sum(Verdict::Skipped, "skipped", "skipped"),
        ];
        let sums: Vec<String> = sums.into_iter().flatten().collect();
        if sums.is_empty() {
            "nothing was looked at".to_owned()
        } else {
            sums.join(", ")
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::default()))
    }
}

fn sign(verdict: Verdict, style: Style) -> String {
    let (unicode, ascii, color) = match verdict {
        Verdict::Ok => ("✓", "+", "32"),
        Verdict::Warning => ("!", "!", "33"),
        Verdict::Failure => ("✗", "x", "31"),
        Verdict::Skipped => ("-", "-", "2"),
    };
    let sign = if style.unicode { unicode } else { ascii };
    if style.color {
        format!("\x1b[{color}m{sign}\x1b[0m")
    } else {
        sign.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.add(Finding::ok("data directory", "/var/lib/scanner"));
        report.add(Finding::failure(
            "server",
            "no answer\nfor 30 s",
            "start it\nor name another",
        ));
        report.add(Finding::skipped("clock", "no answer to compare with"));
        report
    }

    #[test]
    fn people_see_aligned_lines_with_the_remedy_below() {
        let expected = "\
✓ data directory  /var/lib/scanner
✗ server          no answer
                  for 30 s
                  remedy: start it
                          or name another
- clock           no answer to compare with

1 failure, 1 ok, 1 skipped
";
        assert_eq!(report().to_string(), expected);
        let plain = report().render(Style {
            unicode: false,
            color: false,
        });
        assert!(
            plain.is_ascii() && plain.starts_with("+ data") && plain.contains("\nx server"),
            "{plain}"
        );
        let colored = report().render(Style {
            unicode: true,
            color: true,
        });
        assert!(colored.contains("\x1b[31m✗\x1b[0m server"), "{colored}");
    }

    #[test]
    fn programs_see_every_field() {
        let document: serde_json::Value = serde_json::from_str(&report().show(ShowAs::Json, Style::default())).unwrap();
        assert_eq!(document["verdict"], "failure");
        assert_eq!(document["findings"][1]["remedy"], "start it\nor name another");
        assert_eq!(document["findings"][0].get("remedy"), None);
        let lines = report().show(ShowAs::JsonLines, Style::default());
        let verdicts: Vec<_> = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["verdict"].clone())
            .collect();
        assert_eq!(verdicts, ["ok", "failure", "skipped"]);
    }

    #[test]
    fn only_a_failure_fails() {
        let mut report = Report::default();
        assert_eq!(report.exit(), Exit::Done);
        report.add(Finding::skipped("a", "b"));
        assert_eq!((report.exit(), report.worst()), (Exit::Done, Verdict::Ok));
        report.add(Finding::warning("a", "b", "c"));
        assert_eq!((report.exit(), report.worst()), (Exit::Done, Verdict::Warning));
        report.add(Finding::failure("a", "b", "c"));
        assert_eq!((report.exit(), report.worst()), (Exit::Environment, Verdict::Failure));
    }
}
