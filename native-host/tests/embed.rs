//! The example that the documentation shows, run.

#[path = "../examples/embed.rs"]
#[allow(dead_code, reason = "its `main` is for the command line")]
mod embed;
mod fleet;

use fleet::{ECHO, program, runtime};

#[test]
fn the_example_runs() {
    let echo = program("echo", ECHO);
    let said = runtime(2).block_on(embed::run(echo, vec!["word".to_owned()]));
    let said = said.unwrap();
    assert_eq!(said.len(), embed::AGENTS);
    for (number, (of, said)) in said.iter().enumerate() {
        assert_eq!((*of, said.as_str()), (number, &*format!("exit: {number}")));
    }
}
