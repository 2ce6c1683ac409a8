//! Arguments and results as bytes: postcard for values, records for the items of a chunk. Pure.
//!
//! A chunk is a row of records `{tag: u8, length: u32, bytes}`; each item stands alone, so one that
//! cannot be encoded, decoded or computed costs itself only. A chunk of results begins with the
//! nanoseconds the worker took (u64).

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{self, MAX_PAYLOAD};
use crate::error::{JobError, Panic};
use crate::job::Outcome;
use crate::map::Chunk;
use crate::panics::{self, Caught};

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// A value.
    Value = 0,
    /// A `Panic`.
    Panicked = 1,
    /// Text: why the arguments could not be decoded.
    ArgumentsRefused = 2,
    /// Text: why the result could not be encoded.
    ResultRefused = 3,
    /// Text: why the arguments could not be encoded. The worker sends it back as it is.
    Unsent = 4,
    /// A `JobError`: what the parent says of an item that was lost with its worker.
    Lost = 5,
}

impl Tag {
    fn from_byte(byte: u8) -> Option<Tag> {
        [
            Tag::Value,
            Tag::Panicked,
            Tag::ArgumentsRefused,
            Tag::ResultRefused,
            Tag::Unsent,
            Tag::Lost,
        ]
        .get(usize::from(byte))
        .copied()
    }
}

/// Appends `value` to `out`; leaves `out` as it was if that fails.
///
/// # Errors
///
/// A sentence: what `Serialize` said (or how it panicked), or that the value is too large.
pub(crate) fn append<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), String> {
    let before = out.len();
    panics::catch(|| write(value, out)).unwrap_or_else(|caught| {
        out.truncate(before);
        Err(unwritable(&caught))
    })
}

/// [`append`] for one who catches the panics of `Serialize`, and then cuts `out` off.
pub(crate) fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), String> {
    let before = out.len();
    let written = postcard::serialize_with_flavor::<T, _, ()>(value, Extend(out));
    let problem = match written {
        Ok(()) if out.len() <= MAX_PAYLOAD => return Ok(()),
        Ok(()) => wire::too_large(out.len() - before),
        Err(error) => error.to_string(),
    };
    out.truncate(before);
    Err(problem)
}

/// What to say of a value whose `Serialize` panicked.
pub(crate) fn unwritable(caught: &Caught) -> String {
    format!("its Serialize panicked: {}", caught.message)
}

/// Writes to the end of a borrowed vector (postcard's own flavor wants to own it).
struct Extend<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Extend<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Reads a value; all bytes must be used.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    panics::catch(|| parse(bytes)).unwrap_or_else(|caught| Err(unreadable(&caught)))
}

/// [`read`] for one who catches the panics of `Deserialize`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes::<T>(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes are left over", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

/// What to say of bytes over which `Deserialize` panicked.
pub(crate) fn unreadable(caught: &Caught) -> String {
    format!("its Deserialize panicked: {}", caught.message)
}

/// Appends a record whose bytes `write` appends; if that fails, a record of `otherwise` with the
/// reason.
pub(crate) fn append_record(
    out: &mut Vec<u8>,
    otherwise: Tag,
    write: impl FnOnce(&mut Vec<u8>) -> Result<Tag, String>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; 5]);
    let tag = write(out).unwrap_or_else(|problem| {
        out.truncate(start + 5);
        out.extend_from_slice(problem.as_bytes());
        otherwise
    });
    seal(out, start, tag);
}

/// Ends the record that begins at `start`.
pub(crate) fn seal(out: &mut [u8], start: usize, tag: Tag) {
    let length = (out.len() - start - 5) as u32;
    out[start] = tag as u8;
    out[start + 1..start + 5].copy_from_slice(&length.to_le_bytes());
}

/// The records of a chunk. Ends early at bytes that are no record.
pub(crate) fn records(mut bytes: &[u8]) -> impl Iterator<Item = (Tag, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<5>()?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (record, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some((Tag::from_byte(head[0])?, record))
    })
}

/// The records behind the first `count`.
pub(crate) fn behind(bytes: &[u8], count: usize) -> &[u8] {
    let passed: usize = records(bytes).take(count).map(|(_, record)| 5 + record.len()).sum();
    &bytes[passed..]
}

/// Parent: appends what became of an item that was lost.
pub(crate) fn append_lost(out: &mut Vec<u8>, error: &JobError) {
    append_record(out, Tag::Lost, |out| append(error, out).map(|()| Tag::Lost));
}

/// Parent: the results of a chunk, put together from several runs; `last` is the answer of the
/// last.
pub(crate) fn joined(before: &[u8], last: &[u8]) -> Vec<u8> {
    let (took, last) = last.split_at_checked(8).unwrap_or((&[0; 8], &[]));
    [took, before, last].concat()
}

/// Parent: the items of a chunk as arguments of a call.
///
/// # Errors
///
/// That they are too large together.
pub(crate) fn chunk_of_items<T: Serialize>(items: &[(T,)]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(items.len() * (5 + size_of::<T>()));
    let mut items = items.iter();
    let mut begun = 0;
    // One `catch` for all of them as long as nothing panics: it is not free per item.
    while let Err(caught) = panics::catch(|| {
        for item in items.by_ref() {
            begun = out.len();
            append_record(&mut out, Tag::Unsent, |out| write(item, out).map(|()| Tag::Value));
        }
    }) {
        out.truncate(begun);
        append_record(&mut out, Tag::Unsent, |_| Err(unwritable(&caught)));
    }
    match out.len() {
        0..=MAX_PAYLOAD => Ok(out),
        bytes => Err(format!(
            "a chunk of {} items takes {bytes} bytes, more than the limit of {MAX_PAYLOAD}; \
             set a smaller one with Map::chunk",
            items.len()
        )),
    }
}

/// Parent: the result of a call.
pub(crate) fn result<R: DeserializeOwned>(task: &str, bytes: &[u8]) -> Outcome<R> {
    read(bytes).map_err(|why| undecodable(task, &why))
}

fn undecodable(task: &str, why: &str) -> JobError {
    JobError::decode(task, format!("decoding its result failed: {why}"))
}

/// Parent: the results of a chunk.
pub(crate) fn chunk_of_results<R: DeserializeOwned>(task: &str, bytes: &[u8]) -> Outcome<Chunk<R>> {
    let short = || JobError::decode(task, "decoding its results failed: no time given");
    let (nanos, bytes) = bytes.split_first_chunk().ok_or_else(short)?;
    let one = |(tag, record)| match tag {
        Tag::Value => parse(record).map_err(|why| undecodable(task, &why)),
        other => Err(error_of(task, other, record)),
    };
    let mut results = Vec::with_capacity(records(bytes).count());
    let mut records = records(bytes);
    // As with the items: one `catch`.
    while let Err(caught) = panics::catch(|| results.extend(records.by_ref().map(one))) {
        results.push(Err(undecodable(task, &unreadable(&caught))));
    }
    Ok(Chunk { results, took: Duration::from_nanos(u64::from_le_bytes(*nanos)) })
}

/// Parent: the error a record (or a whole reply) stands for.
pub(crate) fn error_of(task: &str, tag: Tag, record: &[u8]) -> JobError {
    let text = String::from_utf8_lossy(record);
    match tag {
        Tag::Panicked => match read::<Panic>(record) {
            // The worker knows the function only; the job may have been given a name.
            Ok(panic) => JobError::Panicked(Box::new(Panic { task: task.to_owned(), ..panic })),
            Err(why) => JobError::decode(task, format!("decoding its panic failed: {why}")),
        },
        Tag::ArgumentsRefused => {
            JobError::decode(task, format!("decoding its arguments in the worker failed: {text}"))
        }
        Tag::ResultRefused => {
            JobError::encode(task, format!("encoding its result in the worker failed: {text}"))
        }
        Tag::Unsent => JobError::encode(task, format!("encoding its arguments failed: {text}")),
        Tag::Lost => match read::<JobError>(record) {
            Ok(error) => error,
            Err(why) => JobError::decode(task, format!("decoding its fate failed: {why}")),
        },
        Tag::Value => JobError::decode(task, "a value where an error was due"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_item_that_cannot_be_encoded_costs_itself_only() {
        #[derive(Debug)]
        struct Picky(u8);
        impl Serialize for Picky {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                match self.0 {
                    1 => Err(serde::ser::Error::custom("not this one")),
                    2 => panic!("nor this"),
                    n => s.serialize_u8(n),
                }
            }
        }
        let chunk = chunk_of_items(&[(Picky(0),), (Picky(1),), (Picky(2),), (Picky(3),)]).unwrap();
        let tags: Vec<_> = records(&chunk).collect();
        assert_eq!(tags[0], (Tag::Value, &[0u8][..]));
        assert_eq!(tags[1].0, Tag::Unsent);
        assert!(String::from_utf8_lossy(tags[2].1).contains("nor this"));
        assert_eq!(tags[3], (Tag::Value, &[3u8][..]));
        assert_eq!(tags.len(), 4);
    }

    #[test]
    fn left_over_bytes_are_an_error() {
        assert_eq!(read::<u8>(&[1]), Ok(1));
        assert!(read::<u8>(&[1, 2]).unwrap_err().contains("left over"));
        assert!(read::<u8>(&[]).is_err());
    }

    proptest! {
        #[test]
        fn values_come_back(values in prop::collection::vec(any::<(u64, String)>(), 0..20)) {
            let mut out = 123u64.to_le_bytes().to_vec();
            for value in &values {
                let value = |o: &mut _| append(value, o).map(|()| Tag::Value);
                append_record(&mut out, Tag::ResultRefused, value);
            }
            let chunk = chunk_of_results::<(u64, String)>("f", &out).unwrap();
            prop_assert_eq!(chunk.took, Duration::from_nanos(123));
            let got: Result<Vec<_>, _> = chunk.results.into_iter().collect();
            prop_assert_eq!(got.unwrap(), values);
        }

        #[test]
        fn any_bytes_decode_to_something_or_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = chunk_of_results::<(u64, String)>("f", &bytes);
            let _ = error_of("f", Tag::Panicked, &bytes);
        }
    }
}
