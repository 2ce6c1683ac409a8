//! The main program as it lies in memory: where it was loaded, its code, and which build it is.
//!
//! A function is sent to a worker as its distance from the load base of the *main program*, the
//! first entry of dl_iterate_phdr(3). An anchor symbol of this crate would not do: linked into a
//! shared library it has its own base. A function outside the main program is refused here.

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::sync::OnceLock;

/// The main program of this process. Read once: it does not change.
#[derive(Debug)]
pub(crate) struct Image {
    base: usize,
    code: Vec<Range<usize>>,
    build: Vec<u8>,
}

impl Image {
    /// The main program of this process.
    pub(crate) fn main_program() -> &'static Image {
        static IMAGE: OnceLock<Image> = OnceLock::new();
        IMAGE.get_or_init(Image::read)
    }

    /// Which build this is: the linker's build id where there is one, else a hash of the code.
    /// Equal builds have their functions at equal offsets.
    pub(crate) fn build(&self) -> &[u8] {
        &self.build
    }

    /// The place of a function, good in every process that runs this build.
    ///
    /// # Errors
    ///
    /// A sentence that names the shared library the function lies in.
    pub(crate) fn offset_of(&self, address: usize) -> Result<u64, String> {
        if self.contains(address) {
            return Ok((address - self.base) as u64);
        }
        Err(format!(
            "its code lies in {}, not in the main program: a worker process could not find it; \
             give the pool a function that is linked into the program itself",
            object_of(address)
        ))
    }

    /// The address of a function in this process; `None` if there is no code at that offset.
    pub(crate) fn address_of(&self, offset: u64) -> Option<usize> {
        let address = self.base.checked_add(usize::try_from(offset).ok()?)?;
        self.contains(address).then_some(address)
    }

    fn contains(&self, address: usize) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }

    fn read() -> Image {
        let mut image: Option<Image> = None;
        // SAFETY: the callback has the type the function asks for, touches `data` only as the
        // `Option<Image>` it is, and dl_iterate_phdr returns before `image` goes out of scope.
        unsafe { libc::dl_iterate_phdr(Some(first_object), (&raw mut image).cast()) };
        image.expect("dl_iterate_phdr reports the main program first")
    }
}

/// Callback of dl_iterate_phdr: takes the first object and stops.
unsafe extern "C" fn first_object(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    data: *mut c_void,
) -> c_int {
    // SAFETY: dl_iterate_phdr passes a valid info, and the `data` given to it in `Image::read`.
    let (info, image) = unsafe { (&*info, &mut *data.cast::<Option<Image>>()) };
    // SAFETY: dlpi_phdr points to dlpi_phnum headers, valid while the object is loaded, and the
    // main program is never unloaded.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let base = info.dlpi_addr as usize;
    let place = |header: &libc::Elf64_Phdr| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        start..start + header.p_memsz as usize
    };
    let code: Vec<Range<usize>> = headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0)
        .map(place)
        .collect();
    let notes = headers.iter().filter(|header| header.p_type == libc::PT_NOTE).map(place);
    // SAFETY: note and code segments are parts of the main program, mapped readable (code is
    // linked R+X) and never written to or unmapped.
    let bytes = |range: Range<usize>| unsafe {
        std::slice::from_raw_parts(range.start as *const u8, range.len())
    };
    let build = notes
        .map(bytes)
        .find_map(gnu_build_id)
        .map_or_else(|| hash(code.iter().cloned().map(bytes)), <[u8]>::to_vec);
    *image = Some(Image { base, code, build });
    1
}

/// Finds the GNU build id in a note segment: entries of {name length, value length, type}, name,
/// value, each padded to four bytes (elf(5)).
pub(super) fn gnu_build_id(mut notes: &[u8]) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    loop {
        let (head, rest) = notes.split_at_checked(12)?;
        let word =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name_len, value_len) = (word(0) as usize, word(4) as usize);
        let (name, rest) = rest.split_at_checked(name_len.next_multiple_of(4))?;
        let value = rest.get(..value_len)?;
        if word(8) == NT_GNU_BUILD_ID && name == b"GNU\0" && !value.is_empty() {
            return Some(value);
        }
        notes = rest.get(value_len.next_multiple_of(4)..)?;
    }
}

/// A hash of the code for programs without a build id. The code has no relocations applied to it
/// (position independent code keeps them in data), so it is equal at every load address.
fn hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for word in part.chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            state = (state ^ u64::from_le_bytes(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            state ^= state >> 29;
        }
    }
    [b"code".as_slice(), &state.to_le_bytes()].concat()
}

fn object_of(address: usize) -> String {
    // SAFETY: an all-zero Dl_info is a valid value: null pointers.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: dladdr takes any address and fills in the struct it is given.
    let found = unsafe { libc::dladdr(address as *const c_void, &mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return "no loaded object".to_owned();
    }
    // SAFETY: dli_fname is a NUL-terminated string owned by the loader.
    unsafe { CStr::from_ptr(info.dli_fname) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_the_program_is_found_again() {
        let image = Image::main_program();
        let address = a_function_of_the_program_is_found_again as fn() as usize;
        let offset = image.offset_of(address).unwrap();
        assert_eq!(image.address_of(offset), Some(address));
        assert!(!image.build().is_empty());
    }

    #[test]
    fn a_function_of_a_shared_library_is_refused_by_name() {
        let error = Image::main_program().offset_of(libc::getpid as *const () as usize);
        // A statically linked C library is part of the main program.
        if cfg!(not(target_feature = "crt-static")) {
            assert!(error.unwrap_err().contains("libc"), "the message names the library");
        }
    }

    #[test]
    fn an_offset_without_code_gives_nothing() {
        let image = Image::main_program();
        assert_eq!(image.address_of(u64::MAX), None);
        assert_eq!(image.address_of(u64::MAX / 2), None);
        assert!(image.offset_of(&raw const image as usize).is_err());
    }

    #[test]
    fn a_build_id_is_found_among_other_notes() {
        let mut notes = Vec::new();
        for (kind, name, value) in [(1u32, &b"GNU\0"[..], &[9u8; 16][..]), (3, b"GNU\0", &[7; 5])] {
            notes.extend((name.len() as u32).to_ne_bytes());
            notes.extend((value.len() as u32).to_ne_bytes());
            notes.extend(kind.to_ne_bytes());
            notes.extend(name);
            notes.extend(value);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(gnu_build_id(&notes), Some(&[7u8; 5][..]));
        assert_eq!(gnu_build_id(&notes[..20]), None);
        // Of somebody else, whose name begins alike.
        let other = [8u32, 4, 3].map(u32::to_ne_bytes).concat();
        assert_eq!(gnu_build_id(&[&other[..], b"GNU\0five", b"1234"].concat()), None);
        assert_eq!(gnu_build_id(&[]), None);
    }

    #[test]
    fn the_hash_sees_every_byte() {
        let code = [1u8, 2, 3, 4, 5, 6, 7, 8, 9];
        let mut other = code;
        other[8] = 10;
        assert_ne!(hash([&code[..]].into_iter()), hash([&other[..]].into_iter()));
        assert_eq!(hash([&code[..]].into_iter()), hash([&code[..]].into_iter()));
    }
}
