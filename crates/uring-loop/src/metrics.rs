//! The counters of a loop, for whoever collects such things.

use std::fmt;

use crate::Statistics;

/// One counter or level of a loop, with the name that it has outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// As Prometheus wants it: lower case, with the unit or `_total` at the end.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// Whether it only ever grows.
    pub kind: MetricKind,
    /// Its value now.
    pub value: u64,
}

/// What a value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It counts since the loop was made.
    Counter,
    /// It is a level of the moment.
    Gauge,
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        })
    }
}

impl Statistics {
    /// Every number with its name and meaning, for any exporter.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = uring_loop::EventLoop::new()?;
    /// for metric in event_loop.statistics().metrics() {
    ///     println!("{} = {} ({})", metric.name, metric.value, metric.help);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metrics(&self) -> Vec<Metric> {
        let counter = |name, help, value| Metric { name, help, kind: MetricKind::Counter, value };
        let gauge = |name, help, value| Metric { name, help, kind: MetricKind::Gauge, value };
        let mut metrics = vec![
            counter("uring_loop_turns_total", "Passes of the loop.", self.turns),
            counter("uring_loop_enters_total", "Calls of io_uring_enter by turns.", self.enters),
            counter(
                "uring_loop_flushes_total",
                "Calls of io_uring_enter for a full submission queue.",
                self.flushes,
            ),
            counter("uring_loop_submissions_total", "Entries submitted.", self.submissions),
            counter("uring_loop_completions_total", "Completions reaped.", self.completions),
            counter(
                "uring_loop_overflows_total",
                "Enters that found completions waiting for room.",
                self.overflows,
            ),
            counter(
                "uring_loop_backlogged_total",
                "Entries that waited for room in the submission queue.",
                self.backlogged,
            ),
            counter("uring_loop_retries_total", "Enters refused for the moment.", self.retries),
            counter("uring_loop_parks_total", "Waits in the kernel.", self.parks),
            counter("uring_loop_wakes_total", "Wakes by other threads.", self.wakes),
            counter("uring_loop_polls_total", "Polls of tasks.", self.polls),
            counter("uring_loop_spawned_total", "Tasks spawned.", self.spawned),
            gauge("uring_loop_tasks", "Tasks that are not complete.", self.tasks as u64),
            gauge("uring_loop_callbacks", "Callbacks that have not run.", self.callbacks as u64),
            gauge("uring_loop_timers", "Timers armed.", self.timers as u64),
            gauge("uring_loop_in_flight", "Operations in flight.", self.in_flight.into()),
            gauge("uring_loop_orphans", "Operations without a future.", self.orphans.into()),
        ];
        if let Some((free, all)) = self.buffers {
            let help = "Buffers free for receiving streams.";
            metrics.push(gauge("uring_loop_buffers_free", help, free.into()));
            metrics.push(gauge("uring_loop_buffers", "Buffers for receiving streams.", all.into()));
        }
        metrics
    }

    /// The same in the text format that Prometheus scrapes (version 0.0.4), each value with these
    /// labels.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = uring_loop::EventLoop::new()?;
    /// let text = event_loop.statistics().prometheus(&[("shard", "0")]).to_string();
    /// assert!(text.contains("uring_loop_tasks{shard=\"0\"} 0\n"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn prometheus<'a>(&self, labels: &'a [(&'a str, &'a str)]) -> impl fmt::Display + use<'a> {
        Exposition { metrics: self.metrics(), labels }
    }
}

struct Exposition<'a> {
    metrics: Vec<Metric>,
    labels: &'a [(&'a str, &'a str)],
}

impl Exposition<'_> {
    fn write_labels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            // The format's own escapes: backslash, quote, line feed.
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{before}{name}=\"{value}\"")?;
        }
        f.write_str(if self.labels.is_empty() { "" } else { "}" })
    }
}

impl fmt::Display for Exposition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Metric { name, help, kind, value } in &self.metrics {
            write!(f, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}")?;
            self.write_labels(f)?;
            writeln!(f, " {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_help_its_kind_and_its_labels() {
        let statistics = Statistics { tasks: 3, buffers: Some((5, 8)), ..Statistics::default() };
        let text = statistics.prometheus(&[("shard", "0"), ("name", "a \"b\"\\\n")]).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3 * 19, "{text}");
        let at = lines.iter().position(|line| line.starts_with("uring_loop_tasks")).expect("there");
        assert_eq!(
            lines[at - 2..=at],
            [
                "# HELP uring_loop_tasks Tasks that are not complete.",
                "# TYPE uring_loop_tasks gauge",
                "uring_loop_tasks{shard=\"0\",name=\"a \\\"b\\\"\\\\\\n\"} 3",
            ]
        );
        assert!(text.contains("# TYPE uring_loop_turns_total counter\n"), "{text}");
        assert!(text.contains("uring_loop_buffers_free{shard=\"0\",name="), "{text}");
    }

    #[test]
    fn names_are_those_of_counters_and_levels_and_no_two_are_equal() {
        let mut names = Vec::new();
        for metric in Statistics::default().metrics() {
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == MetricKind::Counter, "{}", metric.name);
            assert!(!names.contains(&metric.name), "{}", metric.name);
            names.push(metric.name);
        }
        assert_eq!(Statistics::default().prometheus(&[]).to_string().lines().count(), 51);
    }
}
