//! The kernel's structures as bytes: socket addresses, `iovec`, `msghdr`, timespec. Pure; the
//! bytes come from and go to `memory.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::Errno;

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

/// A socket address as `sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)).
pub(super) fn encode_address(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SOCKADDR_IN6);
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend((libc::AF_INET as u16).to_ne_bytes());
            bytes.extend(v4.port().to_be_bytes());
            bytes.extend(v4.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
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
pub(super) fn decode_address(bytes: &[u8]) -> Result<SocketAddr, Errno> {
    let Some(family) = bytes.first_chunk() else { return Err(libc::EINVAL) };
    let port = |bytes: &[u8]| u16::from_be_bytes([bytes[2], bytes[3]]);
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET if bytes.len() >= SOCKADDR_IN => {
            let octets: [u8; 4] = bytes[4..8].try_into().expect("four bytes");
            Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), port(bytes)))
        }
        libc::AF_INET6 if bytes.len() >= SOCKADDR_IN6 => {
            let mut fields = Fields(&bytes[4..]);
            let flow = fields.u32();
            let ip = Ipv6Addr::from(fields.take::<16>());
            Ok(SocketAddr::V6(SocketAddrV6::new(ip, port(bytes), flow, fields.u32())))
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
    pub(super) iov: u64,
    pub(super) iov_count: u64,
}

pub(super) fn decode_header(bytes: &[u8]) -> MessageHeader {
    let mut fields = Fields(bytes);
    let _name_and_length = fields.take::<16>();
    MessageHeader { iov: fields.u64(), iov_count: fields.u64() }
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
            assert_eq!(decode_address(&encode_address(address)), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_as_the_kernel_refuses_it() {
        assert_eq!(decode_address(&[]), Err(libc::EINVAL));
        let short = &encode_address("127.0.0.1:80".parse().expect("an address"))[..8];
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
