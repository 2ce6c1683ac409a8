//! Memory straight from the kernel.

use std::io;
use std::ptr::NonNull;

/// Anonymous memory, zeroed, page-aligned.
pub(crate) struct Mapping {
    address: NonNull<u8>,
    length: usize,
}

impl Mapping {
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh anonymous mapping touches no existing memory.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).expect("mmap never answers the null page");
        Ok(Mapping { address, length })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.address
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and whoever owns it no longer uses it.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.length) };
    }
}
