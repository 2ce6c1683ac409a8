//! The report: one file that holds everything it shows, made from a record.
//!
//! [`page`] is the whole of it, [`section`] what is told of one workload, and the drawings are in
//! [`bars`], [`curve`] and [`histogram`], on scales of [`scale`]. Nothing is fetched from anywhere;
//! without scripts all of it is there, but for the switch of colours and the hints under a pointer.

mod axis;
mod bars;
mod curve;
mod figures;
#[cfg(test)]
pub(super) mod fixture;
mod histogram;
mod labels;
mod look;
mod page;
mod panel;
mod picture;
mod scale;
mod section;
mod unit;
pub(super) mod words;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::record::Record;

/// Writes the report of a record to `path`.
///
/// # Errors
/// When the file can't be written.
pub(super) fn write(path: &Path, record: &Record) -> Result<()> {
    let text = page::render(record).into_string();
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Writes a picture of a record to `path`: a drawing by itself, for where no page can be.
///
/// # Errors
/// When the record has no curve to draw, or the file can't be written.
pub(super) fn draw(path: &Path, record: &Record) -> Result<()> {
    let picture = picture::render(record).context("the record has no curve to draw")?;
    fs::write(path, picture.into_string()).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Elements that have no end tag.
    const VOID: [&str; 4] = ["meta", "link", "br", "hr"];

    fn page() -> String {
        page::render(&fixture::record()).into_string()
    }

    /// The names of all elements, after a look that each is closed in its place.
    pub(super) fn well_formed(text: &str) -> Vec<String> {
        let (mut open, mut seen) = (Vec::new(), Vec::new());
        let mut rest = text;
        while let Some(begin) = rest.find('<') {
            assert!(!rest[..begin].contains('>'), "a stray >: {}", &rest[..begin]);
            let end = begin + rest[begin..].find('>').expect("a tag ends");
            let tag = &rest[begin + 1..end];
            assert!(tag.matches('"').count().is_multiple_of(2), "quotes of <{tag}>");
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name), "{seen:?}");
                continue;
            }
            let name = tag.split([' ', '\n']).next().unwrap_or_default().to_owned();
            seen.push(name.clone());
            if name == "style" || name == "script" {
                let close = format!("</{name}>");
                rest = rest.split_once(&close).expect("its end").1;
            } else if !VOID.contains(&name.as_str()) {
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<String>::new(), "never closed");
        seen
    }

    #[test]
    fn the_page_is_well_formed_and_everything_is_in_it() {
        let page = page();
        let page_alone = page.strip_prefix("<!DOCTYPE html>").expect("a page begins with its type");
        let names = well_formed(page_alone);
        for name in ["html", "title", "svg", "table", "details", "figure", "style", "script"] {
            assert!(names.iter().any(|seen| seen == name), "no <{name}>");
        }
        for label in [
            "one thread in sequence",
            "a thread per job",
            "a loop per core",
            "coroutines on one loop",
            "ThreadPool",
            "ProcessPool",
            "fibres",
        ] {
            assert!(page.contains(label), "{label} is not mentioned");
        }
        for workload in ["echo", "sleepers", "copy"] {
            assert!(page.contains(&format!("id=\"{workload}\"")), "no section {workload}");
        }
    }

    #[test]
    fn text_from_outside_is_never_markup() {
        let page = page();
        for raw in ["<script>alert", "<stay>", "<more>", "<four>", "<did>", "<stdin>", "a<b>"] {
            assert!(!page.contains(raw), "{raw}");
        }
        assert!(page.contains("descriptors &lt;stay&gt;"));
        assert!(page.contains("Made Up &amp; Sons"));
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        let page = page();
        for word in ["src=", "href=\"http", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn ids_are_unique_and_labels_lead_to_them() {
        let page = page();
        let ids: Vec<&str> = page
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split_once('"'))
            .map(|(id, _)| id)
            .collect();
        for id in &ids {
            assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{id}");
        }
        for list in page.split("aria-labelledby=\"").skip(1) {
            let list = list.split_once('"').expect("closed").0;
            assert!(list.split(' ').all(|id| ids.contains(&id)), "{list}");
        }
    }

    #[test]
    fn what_is_missing_is_left_out_and_what_was_refused_is_told() {
        let page = page();
        let section = |id: &str| {
            let rest = page.split_once(&format!("<section id=\"{id}\"")).expect("there").1;
            rest.split_once("</section>").expect("closed").0.to_owned()
        };
        let (echo, sleepers, copy) = (section("echo"), section("sleepers"), section("copy"));
        assert!(echo.contains("As the load grows") && !sleepers.contains("As the load grows"));
        assert!(echo.contains("How long each") && copy.contains("No model was measured"));
        assert!(echo.contains("about 9 s by what 1000 took"), "left out at one load");
        assert!(sleepers.contains("extrapolated from 20 of"), "{sleepers}");
        assert!(!copy.contains("<svg class=\"plot"), "nothing to draw: {copy}");
        assert!(page.contains("Two cores &amp; a half") && page.contains("take &lt;four&gt;"));
    }

    #[test]
    fn the_file_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.html");
        write(&path, &fixture::record()).expect("written");
        assert!(fs::read_to_string(path).expect("read").ends_with("</html>"));
    }
}
