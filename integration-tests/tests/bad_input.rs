//! Bad input ends with a message that a stranger can act on, and nothing half done.

use std::fs;

use shipway_integration_tests::{lab::Lab, shipway::Shipway};

#[test]
fn broken_documents_are_refused_with_a_place_and_a_way_out() {
    let shipway = Shipway::up("broken").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    let project = lab.project();
    let cases = [
        ("not: [closed", "lab.yaml:", ""),
        (
            &project.replace("id: lab-build, type: service, branch", "id: lab-biuld, type: service, branch"),
            "lab-biuld",
            "lab-build",
        ),
        (&project.replace("${refs.build.branch}", "${refs.biuld.branch}"), "biuld", "`build`"),
        (&project.replace("kind: JobRun", "kind: JobRunn"), "JobRunn", "JobRun"),
        (&project.replace("${refs.build.id}", "${refs.build.idd}"), "idd", "id"),
        (&project.replace("timeoutDuration: 60", "timeoutDuration: 5"), "timeoutDuration", "30"),
        (
            &project.replace(
                "nfObjects: [{id: lab-web-dev, type: service}]",
                "nfObjects: [{id: lab-build, type: service}]",
            ),
            "lab-build",
            "build service",
        ),
    ];
    let position = |shipway: &Shipway| shipway.shipway(&["verify"]).unwrap();
    let before = position(&shipway);
    for (text, word, help) in cases {
        let file = shipway.data().join("lab.yaml");
        fs::write(&file, text).unwrap();
        let output = shipway.attempt(&["apply", "-f", file.to_str().unwrap()]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "it was taken: {word}");
        assert!(said.contains(word) && said.contains(help), "expected `{word}` and `{help}` in:\n{said}");
        assert!(said.contains("lab.yaml:"), "a file and a line: {said}");
    }
    assert_eq!(position(&shipway), before, "nothing was changed");
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let shipway = Shipway::up("absent").unwrap();
    Lab::create(&shipway).unwrap();
    for (arguments, word) in [
        (&["run", "lab/stagin"][..], "lab/staging"),
        (&["run", "lba/staging"][..], "lab"),
        (&["show", "00000000-0000-0000-0000-000000000000"][..], "no run"),
        (&["state", "--at", "yesterdayish"][..], "2026"),
        (&["member", "remove", "lab-web-devv"][..], "lab-web-dev"),
    ] {
        let output = shipway.attempt(arguments).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(word),
            "{arguments:?}: expected `{word}` in:\n{said}"
        );
    }
    let promoted =
        shipway.attempt(&["run", "lab/production", "-w", "-p", "NOTIFY=http://127.0.0.1:9"]).unwrap();
    assert_eq!(promoted.status.code(), Some(1));
    let run = shipway.json(&["show", "@latest"]).unwrap();
    let node = run["nodes"].as_array().unwrap().iter().find(|node| node["ref"] == "promote").unwrap();
    assert!(node["errorMessage"].as_str().unwrap().contains("lab-web-staging"), "{node}");
}

#[test]
fn removing_a_member_says_what_goes_and_leaves_the_service() {
    let shipway = Shipway::up("member").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    shipway.shipway(&["run", "lab/development", "-w"]).unwrap();
    let dry = shipway.shipway(&["member", "remove", "lab-migrate", "--dry-run"]).unwrap();
    for word in ["lab-migrate", "/spec/spec/steps"] {
        assert!(dry.contains(word), "expected `{word}` in:\n{dry}");
    }
    shipway.shipway(&["member", "remove", "lab-web-dev"]).unwrap();
    let address = lab.address(&shipway, "lab-web-dev").unwrap();
    let stream = std::net::TcpStream::connect(address.trim_start_matches("http://"));
    assert!(stream.is_ok(), "the service goes on");
}
