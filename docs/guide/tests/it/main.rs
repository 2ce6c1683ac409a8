//! What a machine can check of the docs: that chapters are compiled, that links lead somewhere, and
//! that names exist.

mod asyncio;
mod chapters;
mod declared;
mod links;
mod markdown;
mod names;
