//! The kernel's structures as bytes: socket addresses, `iovec`, `msghdr`, `cmsghdr`, timespec.
//! Pure; the bytes come from and go to `memory.rs`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::Errno;
use super::network::Address;

const SOCKADDR_IN: usize = size_of::<libc::sockaddr_in>();
const SOCKADDR_IN6: usize = size_of::<libc::sockaddr_in6>();

/// The integers of a structure, one after another.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the structure was read whole");
        self.0 = rest;
        *field
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }
}

/// A socket address as `sockaddr_in`, `sockaddr_in6` or `sockaddr_un` (ip(7), ipv6(7), unix(7)).
pub(super) fn encode_address(address: impl Into<Address>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SOCKADDR_IN6);
    match address.into() {
        Address::Unix(name) => {
            bytes.extend((libc::AF_UNIX as u16).to_ne_bytes());
            bytes.extend(&name);
            bytes.extend(name.first().filter(|first| **first != 0).map(|_| 0));
        }
        Address::Inet(SocketAddr::V4(v4)) => {
            bytes.extend((libc::AF_INET as u16).to_ne_bytes());
            bytes.extend(v4.port().to_be_bytes());
            bytes.extend(v4.ip().octets());
            bytes.extend([0; 8]);
        }
        Address::Inet(SocketAddr::V6(v6)) => {
            bytes.extend((libc::AF_INET6 as u16).to_ne_bytes());
            bytes.extend(v6.port().to_be_bytes());
            bytes.extend(v6.flowinfo().to_ne_bytes());
            bytes.extend(v6.ip().octets());
            bytes.extend(v6.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// The address in a `sockaddr`: EINVAL when it is too short, EAFNOSUPPORT for other families.
pub(super) fn decode_address(bytes: &[u8]) -> Result<Address, Errno> {
    let Some(family) = bytes.first_chunk() else { return Err(libc::EINVAL) };
    let port = |bytes: &[u8]| u16::from_be_bytes([bytes[2], bytes[3]]);
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET if bytes.len() >= SOCKADDR_IN => {
            let octets: [u8; 4] = bytes[4..8].try_into().expect("four bytes");
            Ok(Address::Inet((Ipv4Addr::from(octets), port(bytes)).into()))
        }
        libc::AF_INET6 if bytes.len() >= SOCKADDR_IN6 => {
            let mut fields = Fields(&bytes[4..]);
            let flow = fields.u32();
            let ip = Ipv6Addr::from(fields.take::<16>());
            Ok(Address::Inet(SocketAddrV6::new(ip, port(bytes), flow, fields.u32()).into()))
        }
        libc::AF_UNIX => {
            let path = bytes[2..].split(|byte| *byte == 0).next().filter(|path| !path.is_empty());
            Ok(Address::Unix(path.unwrap_or(&bytes[2..]).to_vec()))
        }
        libc::AF_INET | libc::AF_INET6 => Err(libc::EINVAL),
        _ => Err(libc::EAFNOSUPPORT),
    }
}

/// One piece of scattered memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) address: u64,
    pub(super) length: u64,
}

/// Size of a `struct iovec`.
pub(super) const IOVEC: usize = size_of::<libc::iovec>();

/// The pieces in an array of `struct iovec`.
pub(super) fn decode_iovecs(bytes: &[u8]) -> Vec<Piece> {
    let piece = |bytes: &[u8]| {
        let mut fields = Fields(bytes);
        Piece { address: fields.u64(), length: fields.u64() }
    };
    bytes.chunks_exact(IOVEC).map(piece).collect()
}

/// Size of a `struct msghdr`.
pub(super) const MSGHDR: usize = size_of::<libc::msghdr>();
/// Where `msg_namelen`, `msg_controllen` and `msg_flags` are written back.
pub(super) const MSG_NAMELEN: u64 = 8;
pub(super) const MSG_CONTROLLEN: u64 = 40;
pub(super) const MSG_FLAGS: u64 = 48;

/// What we read of a `struct msghdr` (recvmsg(2)).
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageHeader {
    pub(super) name: Piece,
    pub(super) iov: u64,
    pub(super) iov_count: u64,
    pub(super) control: Piece,
}

pub(super) fn decode_header(bytes: &[u8]) -> MessageHeader {
    let mut fields = Fields(bytes);
    let name = Piece { address: fields.u64(), length: fields.u64() & u64::from(u32::MAX) };
    let (iov, iov_count) = (fields.u64(), fields.u64());
    let control = Piece { address: fields.u64(), length: fields.u64() };
    MessageHeader { name, iov, iov_count, control }
}

/// Size of a `struct cmsghdr`: length, level, type.
const CMSGHDR: usize = 16;

/// The items of control data: level, type, data. EINVAL for one that does not fit.
pub(super) fn decode_control(mut bytes: &[u8]) -> Result<Vec<(i32, i32, Vec<u8>)>, Errno> {
    let mut items = Vec::new();
    while bytes.len() >= CMSGHDR {
        let mut fields = Fields(bytes);
        let length = fields.u64() as usize;
        if length < CMSGHDR || length > bytes.len() {
            return Err(libc::EINVAL);
        }
        let (level, kind) = (fields.u32() as i32, fields.u32() as i32);
        items.push((level, kind, bytes[CMSGHDR..length].to_vec()));
        bytes = bytes.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(items)
}

/// One item of control data in at most `room` bytes, of which it says how many it takes.
pub(super) fn encode_control(level: i32, kind: i32, data: &[u8], room: usize) -> Vec<u8> {
    let mut bytes = ((CMSGHDR + data.len()) as u64).to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8).min(room), 0);
    bytes
}

/// How many bytes of data one item of control data has in so much room.
pub(super) fn control_room(length: u64) -> usize {
    (length as usize).saturating_sub(CMSGHDR)
}

/// A `struct __kernel_timespec` in nanoseconds; EINVAL if it is none.
pub(super) fn decode_timespec(bytes: &[u8]) -> Result<u64, Errno> {
    let mut fields = Fields(bytes);
    let seconds = u64::try_from(fields.u64() as i64).map_err(|_| libc::EINVAL)?;
    let nanoseconds = u64::try_from(fields.u64() as i64).map_err(|_| libc::EINVAL)?;
    if nanoseconds >= 1_000_000_000 {
        return Err(libc::EINVAL);
    }
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_there_and_back() {
        for text in ["127.0.0.1:80", "10.1.2.3:65535", "[::1]:443", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(decode_address(&encode_address(address)), Ok(address.into()));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_as_the_kernel_refuses_it() {
        assert_eq!(decode_address(&[]), Err(libc::EINVAL));
        let whole: SocketAddr = "127.0.0.1:80".parse().expect("an address");
        let short = &encode_address(whole)[..8];
        assert_eq!(decode_address(short), Err(libc::EINVAL));
        assert_eq!(decode_address(&[libc::AF_UNIX as u8; 110]), Err(libc::EAFNOSUPPORT));
    }

    #[test]
    fn a_timespec_out_of_range_is_refused() {
        let spec = |s: i64, n: i64| decode_timespec(&[s.to_ne_bytes(), n.to_ne_bytes()].concat());
        assert_eq!(spec(2, 5), Ok(2_000_000_005));
        assert_eq!(spec(-1, 0), Err(libc::EINVAL));
        assert_eq!(spec(0, 1_000_000_000), Err(libc::EINVAL));
        assert_eq!(spec(i64::MAX, 0), Ok(u64::MAX));
    }
}
