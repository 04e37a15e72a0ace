//! A Nostr relay on loopback that keeps events in memory. It prints its address and runs until its standard input ends.
#![forbid(unsafe_code)]

use std::io::Read as _;

use nostr_relay_builder::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let relay = LocalRelay::new(RelayBuilder::default());
    relay.run().await?;
    println!("{}", relay.url().await);
    // A test that ends in whatever way closes its end.
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    input.await??;
    Ok(())
}
