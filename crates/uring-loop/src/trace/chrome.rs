//! A trace for Chrome's viewer (`chrome://tracing`, <https://ui.perfetto.dev>): polls, parks and
//! operations of a loop on a time line.
//!
//! The file is a JSON array in the Trace Event Format: `X` is something with a length, `b` and `e`
//! are the ends of something that overlaps with others. It is written through a buffer; one that
//! ends early, because the process was killed, lacks its last bracket, which the viewers forgive.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::driver::InFlight;
use crate::sys::clock::monotonic_ns;
use crate::task::TaskRef;

/// The file, and who the loop is in it.
pub(crate) struct Chrome {
    path: PathBuf,
    /// Gone once it could not be written to.
    file: RefCell<Option<BufWriter<File>>>,
    process: u32,
    /// The number that the viewer shows as the thread.
    line: u32,
}

impl Chrome {
    /// Begins a file for the loop that the viewer shall show as this line.
    ///
    /// # Errors
    ///
    /// Those of making the file, with its path.
    pub(crate) fn create(path: &Path, line: u32) -> io::Result<Self> {
        let failed = |error: io::Error| {
            let text = format!("making the trace {}: {error}", path.display());
            io::Error::new(error.kind(), text)
        };
        let file = File::create(path).map_err(failed)?;
        let process = std::process::id();
        let file = RefCell::new(Some(BufWriter::new(file)));
        let chrome = Chrome { path: path.to_owned(), file, process, line };
        let thread = std::thread::current();
        let name = escaped(thread.name().unwrap_or("thread"));
        chrome.write(format_args!(
            "[\n{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":{process},\"tid\":{line},\
             \"args\":{{\"name\":\"loop {line} ({name})\"}}}}",
        ));
        Ok(chrome)
    }

    pub(super) fn poll(&self, task: &TaskRef, poll: impl FnOnce()) {
        let (name, location) = (escaped(&task.name()), task.location());
        let begin = monotonic_ns();
        poll();
        let at = escaped(&location.to_string());
        self.span(&name, "poll", begin, format_args!("{{\"at\":\"{at}\"}}"));
    }

    pub(super) fn park<R>(&self, park: impl FnOnce() -> R) -> R {
        let begin = monotonic_ns();
        let result = park();
        self.span("park", "loop", begin, format_args!("{{}}"));
        result
    }

    pub(super) fn submitted(&self, operation: &InFlight) {
        self.operation(operation, 'b', format_args!("{{}}"));
    }

    pub(super) fn completed(&self, operation: &InFlight, result: i32, last: bool) {
        let phase = if last { 'e' } else { 'n' };
        self.operation(operation, phase, format_args!("{{\"result\":{result}}}"));
    }

    /// Something that began then and ends now. The name is escaped already.
    fn span(&self, name: &str, category: &str, begin: u64, args: fmt::Arguments<'_>) {
        let (process, line) = (self.process, self.line);
        let (from, length) = (Microseconds(begin), Microseconds(monotonic_ns() - begin));
        self.write(format_args!(
            ",\n{{\"name\":\"{name}\",\"cat\":\"{category}\",\"ph\":\"X\",\"ts\":{from},\
             \"dur\":{length},\"pid\":{process},\"tid\":{line},\"args\":{args}}}",
        ));
    }

    fn operation(&self, operation: &InFlight, phase: char, args: fmt::Arguments<'_>) {
        let (process, line, now) = (self.process, self.line, Microseconds(monotonic_ns()));
        let (name, id) = (operation.operation, operation.user_data);
        self.write(format_args!(
            ",\n{{\"name\":\"{name}\",\"cat\":\"op\",\"ph\":\"{phase}\",\"id\":\"{line}.{id:x}\",\
             \"ts\":{now},\"pid\":{process},\"tid\":{line},\"args\":{args}}}",
        ));
    }

    /// A full disk ends the trace, not the program.
    fn write(&self, event: fmt::Arguments<'_>) {
        let mut file = self.file.borrow_mut();
        let Some(open) = file.as_mut() else { return };
        if let Err(error) = open.write_fmt(event) {
            *file = None;
            tracing::error!("the trace {} ends here: {error}", self.path.display());
        }
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        self.write(format_args!("\n]\n"));
        let Some(mut file) = self.file.get_mut().take() else { return };
        if let Err(error) = file.flush() {
            tracing::error!("the end of the trace {} is lost: {error}", self.path.display());
        }
    }
}

impl fmt::Debug for Chrome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// Nanoseconds, shown in microseconds, the unit of the format.
struct Microseconds(u64);

impl fmt::Display for Microseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// Text as it stands in a JSON string.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\\' => escaped.extend(['\\', char]),
            '\0'..='\x1f' => write!(escaped, "\\u{:04x}", char as u32).expect("a String takes all"),
            _ => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_json_wants_it() {
        assert_eq!(escaped("a \"b\"\\\n\u{e4}"), "a \\\"b\\\"\\\\\\u000a\u{e4}");
    }

    #[test]
    fn microseconds_have_three_places() {
        assert_eq!(Microseconds(1_002_003).to_string(), "1002.003");
        assert_eq!(Microseconds(7).to_string(), "0.007");
    }
}
