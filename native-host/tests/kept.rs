//! What agents of one host keep, and what others of it are granted.

mod fleet;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use capfs_devices::grant::Grant;
use capfs_host::grants::DirGrant;
use capfs_host::host::{Agent, Host, Io, LaunchError, Plan};
use fleet::{ECHO, exited, id, program, runtime};

fn waiting() -> Plan {
    Plan::new(program("echo", ECHO))
}

/// With keys of its own.
fn keeping(state: &Path) -> Plan {
    waiting()
        .state(state)
        .grant(Grant::from_flag("crypto").unwrap())
}

fn granted(folder: &Path, rights: &str) -> Plan {
    let text = format!("{}::/folder:{rights}", folder.display());
    waiting().grant(text.parse::<DirGrant>().unwrap())
}

async fn launched(host: &Host, name: &str, plan: Plan) -> Result<Agent, String> {
    let launched = host.launch(id(name), plan, Io::piped()).await;
    launched.map_err(|error| match error {
        LaunchError::Grants(_) => format!("grants: {error}"),
        LaunchError::Reach(text) => format!("reach: {text}"),
        error => panic!("{error}"),
    })
}

/// Why it is not launched.
async fn refused(host: &Host, plan: Plan) -> String {
    launched(host, "other", plan)
        .await
        .err()
        .unwrap_or_default()
}

async fn ends(mut agent: Agent) {
    assert!(exited(&agent.wait().await));
}

#[test]
fn the_state_of_one_is_in_no_folder_of_another() {
    let scratch = tempfile::tempdir().unwrap();
    let all = scratch.path().join("all");
    let state = all.join("one");
    fs::create_dir_all(all.join("beside")).unwrap();
    fs::create_dir_all(state.join("keys")).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    runtime(2).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let one = launched(&host, "one", keeping(&state)).await.unwrap();
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink(&state, &link).unwrap();
        let folders = [
            &all,
            &state,
            &state.join("keys"),
            &link,
            &scratch.path().into(),
        ];
        for folder in folders {
            for rights in ["ro", "rw"] {
                let why = refused(&host, granted(folder, rights)).await;
                assert!(why.starts_with("grants: "), "{}: {why}", folder.display());
                assert!(why.contains("the state folder"), "{why}");
            }
        }
        ends(
            launched(&host, "other", granted(&all.join("beside"), "rw"))
                .await
                .unwrap(),
        )
        .await;
        ends(one).await;
        // It is still there when the agent has ended; and its agent's own when that comes again.
        let why = refused(&host, granted(&all, "ro")).await;
        assert!(why.contains("the state folder"), "{why}");
        let stored = Grant::from_flag("opfs").unwrap();
        ends(
            launched(&host, "one", keeping(&state).grant(stored))
                .await
                .unwrap(),
        )
        .await;
        // Where it isn't any more, nothing is kept from anybody.
        fs::remove_dir_all(&state).unwrap();
        ends(launched(&host, "other", granted(&all, "ro")).await.unwrap()).await;
    });
}

#[test]
fn nobody_keeps_state_where_another_reaches() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("folder");
    fs::create_dir_all(folder.join("inner")).unwrap();
    runtime(2).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let reader = launched(&host, "reader", granted(&folder, "ro")).await;
        let why = refused(&host, keeping(&folder.join("inner/state"))).await;
        assert!(why.starts_with("reach: the state folder"), "{why}");
        assert!(why.contains("`reader`"), "{why}");
        // Nothing is left of it.
        assert!(!folder.join("inner/state").exists());
        assert_eq!(host.usage().agents, 1);
        ends(reader.unwrap()).await;
        ends(
            launched(&host, "other", keeping(&folder.join("inner/state")))
                .await
                .unwrap(),
        )
        .await;
    });
}

#[test]
fn a_folder_that_is_refused_keeps_nothing_of_who_was_not_launched() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    runtime(2).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let missing = scratch.path().join("missing");
        let failed = granted(&missing, "ro").state(&state);
        assert!(refused(&host, failed).await.starts_with("grants: "));
        // It has become nobody's state.
        ends(
            launched(&host, "other", granted(scratch.path(), "ro"))
                .await
                .unwrap(),
        )
        .await;
    });
}

#[test]
fn secrets_and_manifests_of_those_that_run_are_kept_from_others() {
    let scratch = tempfile::tempdir().unwrap();
    let (secrets, plans) = (scratch.path().join("secrets"), scratch.path().join("plans"));
    for folder in [&secrets, &plans] {
        fs::create_dir(folder).unwrap();
    }
    let token = secrets.join("token");
    fs::write(&token, "one\n").unwrap();
    fs::write(plans.join("echo.wasm"), wat::parse_str(ECHO).unwrap()).unwrap();
    let manifest = plans.join("echo.toml");
    fs::write(&manifest, "[agent]\nprogram = \"echo.wasm\"\n").unwrap();
    runtime(2).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let fetch = format!(
            "fetch,origin=https://example.com,header-file=https://example.com x-token: @{}",
            token.display()
        );
        let (_, plan) = Plan::from_manifest(&manifest).unwrap();
        let plan = plan.grant(Grant::from_flag(&fetch).unwrap());
        let one = launched(&host, "one", plan).await.unwrap();
        let why = refused(&host, granted(&secrets, "ro")).await;
        assert!(why.contains("a header's file"), "{why}");
        // A manifest is no secret.
        ends(
            launched(&host, "other", granted(&plans, "ro"))
                .await
                .unwrap(),
        )
        .await;
        let why = refused(&host, granted(&plans, "rw")).await;
        assert!(why.contains("the manifest"), "{why}");
        ends(one).await;
        ends(
            launched(&host, "other", granted(&secrets, "ro"))
                .await
                .unwrap(),
        )
        .await;
    });
}

#[test]
fn what_an_embedder_reserves_is_in_no_folder_and_may_have_state_in_it() {
    let scratch = tempfile::tempdir().unwrap();
    let states = scratch.path().join("states");
    fs::create_dir_all(states.join("of another process")).unwrap();
    runtime(2).block_on(async {
        let host = Host::builder().compile_here().reserve(&states);
        let host = host.build().unwrap();
        for folder in [scratch.path(), &states, &states.join("of another process")] {
            let why = refused(&host, granted(folder, "ro")).await;
            assert!(why.contains("what the host keeps"), "{why}");
        }
        let stored = Grant::from_flag("opfs").unwrap();
        let plan = keeping(&states.join("one")).grant(stored);
        ends(launched(&host, "one", plan).await.unwrap()).await;
    });
}
