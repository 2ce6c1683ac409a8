//! Which shard has a key.

/// The shard of a key, of `count` shards: by "jump consistent hash" (Lamping and Veach, "A Fast,
/// Minimal Memory, Consistent Hash Algorithm", 2014). Every shard gets the same share of keys to
/// within chance, and when a shard is added only the keys that it gets move.
///
/// The numbers of keys must be spread over all 64 bits, as by [`hash`].
///
/// # Panics
///
/// If `count` is 0.
#[doc(alias = "shard_of")]
pub fn jump_hash(key: u64, count: usize) -> usize {
    assert!(count > 0, "jump_hash over 0 shards: there is nowhere to put the key");
    let (mut key, mut jumped, mut next) = (key, 0_u64, 0_u64);
    while next < count as u64 {
        jumped = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let draw = ((key >> 33) + 1) as f64;
        next = ((jumped + 1) as f64 * ((1_u64 << 31) as f64 / draw)) as u64;
    }
    jumped as usize
}

/// A hash of bytes that is the same in every process and every version: FNV-1a, its bits mixed by
/// the last step of MurmurHash3. It does not withstand keys that are made to collide; nothing but
/// the balance of shards depends on it here.
pub fn hash(key: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = key.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

/// The shard of a key: [`jump_hash`] of its [`hash`].
///
/// ```
/// let shards = 4;
/// assert_eq!(shard::route(b"user:1000", shards), shard::route(b"user:1000", shards));
/// ```
///
/// # Panics
///
/// If `count` is 0.
pub fn route(key: &[u8], count: usize) -> usize {
    jump_hash(hash(key), count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values that other implementations of the paper's algorithm give.
    #[test]
    fn jumps_land_where_the_paper_says() {
        let known = [(0, 1, 0), (3, 1, 0), (0, 2, 0), (10_863_919_174_838_991, 11, 6)];
        let more = [(2_016_238_256_797_177_309, 11, 3), (1_673_758_223_894_951_030, 11, 5)];
        for (key, count, shard) in known.into_iter().chain(more) {
            assert_eq!(jump_hash(key, count), shard, "{key} of {count}");
        }
    }

    #[test]
    fn fnv_is_mixed_in_the_known_way() {
        // FNV-1a of nothing is its offset basis.
        let mut expected: u64 = 0xcbf2_9ce4_8422_2325;
        expected = (expected ^ (expected >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        expected = (expected ^ (expected >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        assert_eq!(hash(b""), expected ^ (expected >> 33));
        assert_ne!(hash(b"a"), hash(b"b"));
    }

    #[test]
    fn shares_are_even_to_within_chance() {
        let mut shares = [0_u32; 7];
        for key in 0..70_000_u32 {
            shares[route(format!("key:{key}").as_bytes(), 7)] += 1;
        }
        // Ten standard deviations of a binomial share are below 1000.
        assert!(shares.iter().all(|share| share.abs_diff(10_000) < 1000), "{shares:?}");
    }

    proptest! {
        /// With one shard more, a key stays or goes to the new one.
        #[test]
        fn only_the_keys_of_a_new_shard_move(key: u64, count in 1..200_usize) {
            let (before, after) = (jump_hash(key, count), jump_hash(key, count + 1));
            prop_assert!(before < count);
            prop_assert!(after == before || after == count);
        }
    }
}
