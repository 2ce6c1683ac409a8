//! The bytes that a connection sends or hears: every position of its stream can be foretold, so
//! that each byte that comes back can be checked without remembering it.

/// Length after which the echoed stream repeats: a prime, so that no message size divides it.
const PERIOD: usize = 65521;

/// An endless stream of bytes, and a position in it per connection.
#[derive(Debug)]
pub(super) struct Pattern {
    /// One period, and after it the beginning of the next.
    bytes: Box<[u8]>,
    period: usize,
}

impl Pattern {
    /// Any bytes, out of which `longest` can be taken at any position in one piece.
    pub(super) fn new(longest: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let bytes: Vec<u8> = (0..PERIOD)
            .map(|_| {
                // xorshift64: any bytes will do, as long as neighbours differ
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        Self::repeated(&bytes, longest)
    }

    /// `message` again and again.
    pub(super) fn repeated(message: &[u8], longest: usize) -> Self {
        let bytes = message.iter().copied().cycle().take(message.len() + longest).collect();
        Self { bytes, period: message.len() }
    }

    /// Where connection `number` begins: apart from its neighbours, so that mixed-up answers show.
    pub(super) fn start(&self, number: usize) -> usize {
        number.wrapping_mul(7919) % self.period
    }

    /// The position `length` bytes after `position`.
    #[inline]
    pub(super) fn advance(&self, position: usize, length: usize) -> usize {
        (position + length) % self.period
    }

    /// `length` bytes from `position` on.
    #[inline]
    pub(super) fn at(&self, position: usize, length: usize) -> &[u8] {
        &self.bytes[position..position + length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_goes_on_where_the_period_ends() {
        let pattern = Pattern::new(100);
        let across = pattern.at(PERIOD - 10, 60);
        assert_eq!(&across[..10], pattern.at(PERIOD - 10, 10));
        assert_eq!(&across[10..], pattern.at(pattern.advance(PERIOD - 10, 10), 50));
    }

    #[test]
    fn a_message_is_repeated_for_as_long_as_is_asked() {
        let pattern = Pattern::repeated(b"abc", 8);
        assert_eq!(pattern.at(2, 8), b"cabcabca");
        assert_eq!(pattern.advance(2, 8), 1);
    }

    #[test]
    fn connections_do_not_share_their_first_message() {
        let pattern = Pattern::new(64);
        let mut first: Vec<_> =
            (0..4000).map(|number| pattern.at(pattern.start(number), 64)).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 4000);
    }
}
