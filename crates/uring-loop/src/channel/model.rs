//! What the loom models of the channels have in common.

/// Runs a model with every run that has at most three pre-emptions: more make it take minutes.
pub(super) fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}
