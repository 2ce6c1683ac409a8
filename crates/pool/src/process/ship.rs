//! Functions on their way to a worker: entries, which a worker calls by address.
//!
//! `F` is a `fn` item or a closure without captures: a value of no bytes. So the *type* is all
//! there is to send, and `one::<F, ..>` is a plain function, compiled for that type, which makes
//! itself an `F` out of nothing. Its offset in the program is what travels (`image.rs`). Two
//! functions with equal code may share an entry after linking; that harms no call, but an offset
//! is no name: errors use the type's name.

use std::any::type_name;
use std::ptr::NonNull;
use std::time::Instant;

use super::codec::{self, Tag};
use super::image::Image;
use super::wire::Kind;
use crate::error::JobError;
use crate::executor::{Task, Wire};
use crate::panics::{self, Caught};

/// What a worker calls: arguments in, result out, and what kind of reply that is.
pub(crate) type Entry = fn(&[u8], &mut Vec<u8>, &dyn Desk) -> Kind;

/// Where a worker notes how far it has come with a chunk, so that its death costs one item.
pub(crate) trait Desk {
    /// The item of that number is begun.
    fn begin(&self, item: u64);
    /// The item of that number is done; its record is `out[record..]`. May send all of `out` but
    /// the time in front, and take it out.
    fn done(&self, item: u64, out: &mut Vec<u8>, record: usize);
}

/// The offset of the entry that calls `F` once.
pub(crate) fn single<F, A, R>(_: F) -> Result<u64, JobError>
where
    F: Task<A, Output = R>,
    A: Wire,
    R: Wire,
{
    offset::<F>(one::<F, A, R>)
}

/// The offset of the entry that calls `F` for each item of a chunk.
pub(crate) fn chunked<F, A, R>(_: F) -> Result<u64, JobError>
where
    F: Task<A, Output = R>,
    A: Wire,
    R: Wire,
{
    offset::<F>(many::<F, A, R>)
}

/// The offset of the entry that calls `F` with nothing, for its effects.
pub(crate) fn initializer<F: Fn() + Copy + Send + Sync + 'static>(_: F) -> Result<u64, JobError> {
    offset::<F>(one::<F, (), ()>)
}

fn offset<F>(entry: Entry) -> Result<u64, JobError> {
    let offset = Image::main_program().offset_of(entry as usize);
    offset.map_err(|why| JobError::encode(type_name::<F>(), why))
}

/// The entry at an offset the parent sent; `None` if there is no code.
pub(crate) fn entry_at(offset: u64) -> Option<Entry> {
    let address = Image::main_program().address_of(offset)?;
    // SAFETY: the handshake made sure that the parent runs this very build, and parents send only
    // offsets of entries (`offset` above is the one source). So there is an `Entry` at this
    // address, which is in the code of the main program.
    Some(unsafe { std::mem::transmute::<usize, Entry>(address) })
}

/// A function value out of nothing.
fn conjure<F: Copy + Send + Sync + 'static>() -> F {
    const {
        assert!(
            size_of::<F>() == 0,
            "a function sent to worker processes must be a `fn` item or a closure that captures \
             nothing: what it captured would stay behind in this process. Pass it as an argument."
        );
    }
    // SAFETY: a read of no bytes is good at any aligned address. `F` is inhabited: a value of it
    // was handed to `submit` or `map`, or their parent process would not have sent this entry's
    // offset. Making another one is a copy, and `F` is `Copy`.
    unsafe { NonNull::<F>::dangling().read() }
}

/// What became of a value that is not to be had: the tag of its record, and the bytes.
type Problem = (Tag, Vec<u8>);

fn one<F, A, R>(input: &[u8], out: &mut Vec<u8>, _: &dyn Desk) -> Kind
where
    F: Task<A, Output = R>,
    A: Wire,
    R: Wire,
{
    let (before, mut step) = (out.len(), Step::Reading);
    let ran = panics::catch(|| run::<F, A, R>(input, out, &mut step)).unwrap_or_else(|caught| {
        step.blamed::<F>(caught).map_or(Ok(()), |problem| {
            out.truncate(before);
            Err(problem)
        })
    });
    let Err((tag, problem)) = ran else { return Kind::Done };
    out.extend_from_slice(&problem);
    match tag {
        Tag::Panicked => Kind::Panicked,
        Tag::ArgumentsRefused => Kind::ArgumentsRefused,
        _ => Kind::ResultRefused,
    }
}

fn many<F, A, R>(input: &[u8], out: &mut Vec<u8>, desk: &dyn Desk) -> Kind
where
    F: Task<A, Output = R>,
    A: Wire,
    R: Wire,
{
    let begun = Instant::now();
    out.extend_from_slice(&[0; 8]);
    let mut items = (0..).zip(codec::records(input));
    let (mut number, mut record, mut step) = (0, 0, Step::Reading);
    // One `catch` for all items as long as none panics: it is not free per item.
    while let Err(caught) = panics::catch(|| {
        for item in items.by_ref() {
            (number, record) = (item.0, out.len());
            desk.begin(number);
            append_result::<F, A, R>(item.1, out, &mut step);
            desk.done(number, out, record);
        }
    }) {
        match step.blamed::<F>(caught) {
            None => codec::seal(out, record, Tag::Value),
            Some((tag, bytes)) => {
                out.truncate(record);
                codec::append_record(out, tag, |out| {
                    out.extend_from_slice(&bytes);
                    Ok(tag)
                });
            }
        }
        desk.done(number, out, record);
    }
    let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    out[..8].copy_from_slice(&took.to_le_bytes());
    Kind::Done
}

/// Appends the record of an item's result.
fn append_result<F, A, R>((tag, item): (Tag, &[u8]), out: &mut Vec<u8>, step: &mut Step)
where
    F: Task<A, Output = R>,
    A: Wire,
    R: Wire,
{
    codec::append_record(out, Tag::ResultRefused, |out| {
        let problem = match tag {
            Tag::Value => match run::<F, A, R>(item, out, step) {
                Ok(()) => return Ok(Tag::Value),
                Err(problem) => problem,
            },
            // Not encoded by the parent: its text goes back to the item's place.
            tag => (tag, item.to_vec()),
        };
        out.extend_from_slice(&problem.1);
        Ok(problem.0)
    });
}

/// What a call is about: whose panic it is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Reading,
    Running,
    Writing,
    /// The result is written, and its destructor runs: the job's code too, but not its outcome.
    Dropping,
}

impl Step {
    /// What a panic in this step makes of the call; `None`: nothing, it has its result.
    fn blamed<F>(self, caught: Caught) -> Option<Problem> {
        match self {
            Step::Reading => Some((Tag::ArgumentsRefused, codec::unreadable(&caught).into_bytes())),
            Step::Running => {
                let panic = caught.into_panic(type_name::<F>());
                let bytes = postcard::to_stdvec(&panic).expect("strings can always be encoded");
                Some((Tag::Panicked, bytes))
            }
            Step::Writing => Some((Tag::ResultRefused, codec::unwritable(&caught).into_bytes())),
            Step::Dropping => None,
        }
    }
}

/// Decodes, calls, appends the result; on failure `out` is as it was. Panics go on to the caller.
fn run<F, A, R>(input: &[u8], out: &mut Vec<u8>, step: &mut Step) -> Result<(), Problem>
where
    F: Task<A, Output = R>,
    A: Wire,
    R: Wire,
{
    let f = conjure::<F>();
    *step = Step::Reading;
    let args: A = codec::parse(input).map_err(|why| (Tag::ArgumentsRefused, why.into_bytes()))?;
    *step = Step::Running;
    let result = f.call(args);
    *step = Step::Writing;
    codec::write(&result, out).map_err(|why| (Tag::ResultRefused, why.into_bytes()))?;
    *step = Step::Dropping;
    drop(result);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoDesk;

    impl Desk for NoDesk {
        fn begin(&self, _: u64) {}
        fn done(&self, _: u64, _: &mut Vec<u8>, _: usize) {}
    }

    fn quarter(n: u32) -> u32 {
        assert!(n.is_multiple_of(4), "{n} is not a multiple of 4");
        n / 4
    }

    #[test]
    fn an_entry_found_by_its_offset_runs_the_function() {
        let entry = entry_at(single(quarter).unwrap()).unwrap();
        let mut out = Vec::new();
        assert_eq!(entry(&postcard::to_stdvec(&(40u32,)).unwrap(), &mut out, &NoDesk), Kind::Done);
        assert_eq!(codec::result::<u32>("quarter", &out), Ok(10));
    }

    #[test]
    fn a_closure_without_captures_is_a_function_too() {
        let entry = entry_at(single(|a: u8, b: String| format!("{a}{b}")).unwrap()).unwrap();
        let mut out = Vec::new();
        entry(&postcard::to_stdvec(&(4u8, "x")).unwrap(), &mut out, &NoDesk);
        assert_eq!(codec::result::<String>("closure", &out), Ok("4x".to_owned()));
    }

    #[test]
    fn in_a_chunk_a_panic_costs_its_own_item_only() {
        panics::install_hook();
        let entry = entry_at(chunked::<_, (u32,), _>(quarter).unwrap()).unwrap();
        let mut out = Vec::new();
        let items = codec::chunk_of_items(&[(8u32,), (9,), (12,)]).unwrap();
        assert_eq!(entry(&items, &mut out, &NoDesk), Kind::Done);
        let results = codec::chunk_of_results::<u32>("quarter", &out).unwrap().results;
        assert_eq!((&results[0], &results[2]), (&Ok(2), &Ok(3)));
        let Err(JobError::Panicked(panic)) = &results[1] else { panic!("{results:?}") };
        assert_eq!(panic.message, "9 is not a multiple of 4");
        assert!(panic.task.ends_with("quarter"));
        assert!(panic.location.as_ref().unwrap().contains("ship.rs"));
    }

    #[test]
    fn arguments_of_the_wrong_shape_are_refused() {
        let entry = entry_at(single(quarter).unwrap()).unwrap();
        let mut out = Vec::new();
        assert_eq!(entry(&[], &mut out, &NoDesk), Kind::ArgumentsRefused);
    }
}
