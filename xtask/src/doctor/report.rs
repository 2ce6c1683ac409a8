//! The report as data, and how it is shown: two columns for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Raised when the shape of the JSON changes.
const FORMAT: u32 = 1;
/// The width of the left column.
const NAMES: usize = 22;

/// Everything that was found out.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) groups: Vec<Group>,
}

/// One side of the machine.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) rows: Vec<Row>,
}

/// One fact, and what is wrong with it if anything is.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) finding: Option<Finding>,
}

/// What is wrong, in consequences.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Finding {
    pub(super) weight: Weight,
    pub(super) costs: String,
    pub(super) fix: String,
}

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub(super) enum Weight {
    /// The loop runs, with less.
    Costs,
    /// No loop can run.
    Blocks,
}

impl Row {
    pub(super) fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into(), finding: None }
    }

    /// A fact that the machine does not show.
    pub(super) fn unseen(name: &'static str) -> Self {
        Self::new(name, "not visible")
    }

    pub(super) fn costs(self, costs: impl Into<String>, fix: impl Into<String>) -> Self {
        self.with(Weight::Costs, costs.into(), fix.into())
    }

    pub(super) fn blocks(self, costs: impl Into<String>, fix: impl Into<String>) -> Self {
        self.with(Weight::Blocks, costs.into(), fix.into())
    }

    fn with(self, weight: Weight, costs: String, fix: String) -> Self {
        Self { finding: Some(Finding { weight, costs, fix }), ..self }
    }
}

impl Report {
    /// Whether something keeps every loop from running.
    pub(super) fn blocks(&self) -> bool {
        self.count(Weight::Blocks) > 0
    }

    fn count(&self, weight: Weight) -> usize {
        let findings = self.groups.iter().flat_map(|group| &group.rows);
        findings.filter_map(|row| row.finding.as_ref()).filter(|f| f.weight == weight).count()
    }

    /// For a terminal; the printer takes the colours out where they are not wanted.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for group in &self.groups {
            let _ = writeln!(text, "\x1b[1m{}\x1b[0m", group.title);
            for row in &group.rows {
                row.write(&mut text);
            }
            text.push('\n');
        }
        let (blocks, costs) = (self.count(Weight::Blocks), self.count(Weight::Costs));
        let verdict = match (blocks, costs) {
            (0, 0) => "all is well".to_owned(),
            (0, costs) => format!("an event loop runs here; {costs} to look at"),
            (blocks, _) => format!("no event loop can run here: {blocks} to fix"),
        };
        let _ = writeln!(text, "{verdict}");
        text
    }

    pub(super) fn json(&self) -> Value {
        let groups: Vec<_> = self
            .groups
            .iter()
            .map(|group| {
                let rows: Vec<_> = group.rows.iter().map(Row::json).collect();
                json!({ "title": group.title, "rows": rows })
            })
            .collect();
        json!({ "format": FORMAT, "runs": !self.blocks(), "groups": groups })
    }
}

impl Row {
    fn write(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let mark = match self.finding.as_ref().map(|finding| finding.weight) {
            None => " ",
            Some(Weight::Costs) => "\x1b[33m!\x1b[0m",
            Some(Weight::Blocks) => "\x1b[31mX\x1b[0m",
        };
        let _ = writeln!(text, "{mark} {:NAMES$}  {}", self.name, self.value);
        if let Some(Finding { costs, fix, .. }) = &self.finding {
            let _ = writeln!(text, "  {:NAMES$}    costs: {costs}", "");
            let _ = writeln!(text, "  {:NAMES$}    fix:   {fix}", "");
        }
    }

    fn json(&self) -> Value {
        let finding = self.finding.as_ref().map(|finding| {
            let blocks = finding.weight == Weight::Blocks;
            json!({ "blocks": blocks, "costs": finding.costs, "fix": finding.fix })
        });
        json!({ "name": self.name, "value": self.value, "finding": finding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let rows = vec![
            Row::new("version", "6.18"),
            Row::new("governor", "powersave").costs("slow starts", "cpupower"),
        ];
        Report { groups: vec![Group { title: "kernel", rows }] }
    }

    #[test]
    fn people_get_two_columns_with_costs_and_fix_below() {
        let text = anstream::adapter::strip_str(&report().text()).to_string();
        let expected = "\
kernel
  version                 6.18
! governor                powersave
                            costs: slow starts
                            fix:   cpupower

an event loop runs here; 1 to look at
";
        assert_eq!(text, expected);
    }

    #[test]
    fn programs_get_json_with_a_format_version() {
        let json = report().json();
        assert_eq!(json["format"], FORMAT);
        assert_eq!(json["runs"], true);
        let rows = &json["groups"][0]["rows"];
        assert_eq!(rows[0]["finding"], Value::Null);
        assert_eq!(rows[1]["finding"]["fix"], "cpupower");
    }

    #[test]
    fn what_blocks_decides_the_verdict() {
        let mut report = report();
        report.groups[0].rows.push(Row::new("io_uring_disabled", "2").blocks("all", "sysctl"));
        assert!(report.blocks());
        assert!(report.text().ends_with("no event loop can run here: 1 to fix\n"));
        assert_eq!(report.json()["runs"], false);
    }
}
