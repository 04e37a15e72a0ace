//! A `main` that returns an error exits with 1 and says why on standard error.

use std::io::{Error, ErrorKind};

fn main() -> Result<(), Error> {
    println!("about to fail");
    Err(Error::new(ErrorKind::NotFound, "nothing here"))
}
