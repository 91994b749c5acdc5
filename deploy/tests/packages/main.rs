//! The package for Debian on a machine of its own, and the archive of a release. They are made of the programs that are built.

mod debian;
mod machine;
mod made;
mod release;
