//! Programs that measure: ours, the peers and the hand-written floors.
