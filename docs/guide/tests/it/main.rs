//! What a machine can check of the docs: that chapters are compiled, that links lead somewhere, and
//! that names exist.

mod chapters;
mod links;
mod markdown;
