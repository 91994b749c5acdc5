//! The package for Debian on a machine of its own, made of the programs that are built.

mod debian;
mod machine;
mod made;
