//! The controls: each fails when it should, and then nothing is certified.

use driver_verify::{
    Answer, ControlState, CrateId, Evidence, Fingerprint, Layer, Outcome, Question, Target, TargetKind,
    Verdict, judge,
};

use crate::fixture::{Elf, Program};
use crate::scene::{built, clean, of_file, outcome, question, sun};

/// The controls that failed.
fn failed(verdict: &Verdict) -> Vec<&'static str> {
    let failed = verdict.controls.iter().filter(|control| matches!(control.state, ControlState::Failed(_)));
    failed.map(|control| control.name).collect()
}

fn ask(change: impl FnOnce(&mut Question)) -> Verdict {
    let mut question = question();
    change(&mut question);
    let file = clean().elf();
    let verdict = judge(&question, &Evidence::of_file(&file));
    assert_eq!(verdict.answer(), Answer::CannotCertify, "{:?}", verdict.reasons());
    verdict
}

#[test]
fn a_misspelt_crate_makes_the_check_void() {
    let verdict = ask(|it| it.forbidden[0].crates.push(CrateId::new("sunligth", None).owned().proven()));
    assert_eq!(failed(&verdict), ["question"]);
    assert!(verdict.reasons()[0].contains("`sunligth` of `sun`"), "{:?}", verdict.reasons());
}

#[test]
fn a_crate_that_core_has_cannot_be_absent() {
    let mut question = question();
    question.forbidden[0].crates.push(CrateId::new("base", Some("1.0.0")).owned().proven());
    let file = clean().elf();
    let verdict = judge(&question, &Evidence::of_file(&file));
    assert_eq!(failed(&verdict), ["question"]);
    assert_eq!(verdict.answer(), Answer::Leak, "what a driver owns leaks through core as well");
}

#[test]
fn another_machine_or_format_is_not_certified() {
    for triple in ["aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "x86_64-apple-darwin"] {
        let verdict = ask(|it| it.triple = Some(triple.to_owned()));
        assert_eq!(failed(&verdict), ["machine"]);
    }
}

#[test]
fn without_core_in_sight_the_scanner_is_blind() {
    let bare =
        Program::default().marker("arm:moon").marker("crate:driver-moon").report(&["moon"], &["trace"]);
    let verdict = of_file(&bare.elf());
    assert_eq!(failed(&verdict), ["scanner"]);
    assert!(matches!(outcome(&verdict, "sun", Layer::Bytes), Outcome::Blind(_)));
    let verdict = ask(|it| it.core = Target::new("core", TargetKind::Core));
    assert_eq!(failed(&verdict), ["scanner"]);
}

#[test]
fn a_question_about_nothing_certifies_nothing() {
    let nothing = Question {
        is_guest: false,
        subject: String::new(),
        triple: None,
        core: Target::new("core", TargetKind::Core),
        expected: Vec::new(),
        forbidden: Vec::new(),
        known: Vec::new(),
    };
    for file in [Program::default().elf(), Vec::new()] {
        assert_eq!(judge(&nothing, &Evidence::of_file(&file)).answer(), Answer::CannotCertify);
    }
}

/// `location-detail=none`: no path is left, and only what has a text of its own is cleared.
#[test]
fn without_paths_texts_decide() {
    let bare = Program::default()
        .text("no driver was detected")
        .marker("arm:moon")
        .marker("crate:driver-moon")
        .report(&["moon"], &["trace"]);
    let verdict = of_file(&bare.elf());
    assert_eq!(outcome(&verdict, "sun", Layer::Bytes), &Outcome::Clean);
    assert!(matches!(outcome(&verdict, "echo", Layer::Bytes), Outcome::Blind(_)), "it has paths only");
    assert_eq!(verdict.answer(), Answer::CannotCertify);
    let verdict = of_file(&bare.text("the sun did not answer").elf());
    assert_eq!(verdict.answer(), Answer::Leak);
}

#[test]
fn a_selected_driver_has_to_be_there() {
    let verdict = ask(|it| {
        it.expected
            .push(Target { markers: vec!["arm:mars".to_owned()], ..Target::new("mars", TargetKind::Driver) });
    });
    assert_eq!(failed(&verdict), ["scanner", "report"]);
    assert!(matches!(outcome(&verdict, "mars", Layer::Marker), Outcome::Blind(_)));
}

#[test]
fn what_no_build_has_shown_clears_nobody() {
    let verdict = ask(|it| {
        it.forbidden[0] = Target {
            crates: vec![CrateId::new("sunlight", Some("2.1.0")).owned()],
            fingerprints: vec![Fingerprint::declared("SUN_SOKCET_PATH", "sun")],
            ..sun()
        };
    });
    assert_eq!(failed(&verdict), ["twin"]);
    assert!(matches!(outcome(&verdict, "sun", Layer::Bytes), Outcome::Blind(_)));
    assert!(verdict.rejected.iter().any(|why| why.contains("SUN_SOKCET_PATH")), "{:?}", verdict.rejected);
    let counted = "these prove nothing by their absence (--json names them): crates whose paths no build has shown: 1; \
                   texts that no build has shown: 1";
    assert_eq!(verdict.notes, [counted]);
}

/// A bump makes texts of the old version stale: the paths go on working, and the notes name what is stale.
#[test]
fn a_stale_text_clears_nobody_and_leaves_the_rest_working() {
    let stale = Fingerprint::learned("the sun did not answer", "driver-sun@0.0.9");
    let file = clean().elf();
    let mut question = question();
    question.forbidden[0].fingerprints = vec![stale.clone()];
    let verdict = judge(&question, &Evidence::of_file(&file));
    assert_eq!(verdict.answer(), Answer::Clean);
    assert!(verdict.rejected[0].contains("driver-sun@0.0.9"), "{:?}", verdict.rejected);
    assert!(verdict.notes[0].contains("(`cargo xtask learn`)"), "{:?}", verdict.notes);

    question.forbidden[0].crates.clear();
    let verdict = judge(&question, &Evidence::of_file(&file));
    assert_eq!(failed(&verdict), ["twin"]);
    let leaky = clean().text(&stale.text).elf();
    assert_eq!(judge(&question, &Evidence::of_file(&leaky)).answer(), Answer::Leak);
}

#[test]
fn a_marker_that_nobody_asked_about_is_a_leak() {
    let verdict = of_file(&clean().marker("arm:pluto").elf());
    assert_eq!(failed(&verdict), ["markers"]);
    assert!(matches!(outcome(&verdict, "arm:pluto", Layer::Marker), Outcome::Leak(_)));
    assert_eq!(verdict.answer(), Answer::Leak);
}

#[test]
fn a_marker_section_with_anything_else_in_it_is_blind() {
    let stale = clean().with(".osdrv", b"\xff\xfe\0");
    let files = [clean().without(".osdrv"), clean().without(".osdrv").with(".osdrv", [0; 64]), stale];
    for (index, program) in files.iter().enumerate() {
        let verdict = of_file(&program.elf());
        assert_eq!(verdict.answer(), Answer::CannotCertify, "{index}");
        if index != 1 {
            assert!(matches!(outcome(&verdict, "sun", Layer::Marker), Outcome::Blind(_)), "{index}");
        }
    }
}

#[test]
fn a_report_is_required_of_a_file_and_has_to_be_true() {
    let none = of_file(&clean().without(".osgw").elf());
    assert_eq!(none.answer(), Answer::CannotCertify);
    assert!(matches!(outcome(&none, "sun", Layer::SelfReport), Outcome::Blind(_)));
    let file = clean().without(".osgw").elf();
    assert_eq!(judge(&question(), &built(&file)).answer(), Answer::Clean, "a build does not need it");

    let lies: &[(&[&str], &[&str])] =
        &[(&[], &["trace"]), (&["moon"], &[]), (&["moon", "pluto"], &["trace"])];
    for (drivers, options) in lies {
        let verdict = of_file(&clean().report(drivers, options).elf());
        assert_eq!(failed(&verdict), ["report"], "{drivers:?} {options:?}");
        assert_eq!(verdict.answer(), Answer::CannotCertify);
    }
    for text in ["not JSON", "{}", "{\"schema\":2,\"drivers\":[],\"options\":[],\"version\":\"\"}", "1\x002"]
    {
        let verdict = of_file(&clean().without(".osgw").with(".osgw", text).elf());
        assert_eq!(verdict.answer(), Answer::CannotCertify, "{text}");
    }
}

#[test]
fn with_a_build_at_hand_graph_and_messages_are_required() {
    let file = clean().elf();
    for evidence in [Evidence { graph: None, ..built(&file) }, Evidence { messages: None, ..built(&file) }] {
        assert_eq!(judge(&question(), &evidence).answer(), Answer::CannotCertify);
    }
    let foreign = Evidence { messages: Some(Vec::new()), ..built(&file) };
    let verdict = judge(&question(), &foreign);
    assert!(matches!(outcome(&verdict, "sun", Layer::Messages), Outcome::Blind(_)));
    let rootless = Evidence { graph: Some(driver_verify::Graph::default()), ..built(&file) };
    assert_eq!(judge(&question(), &rootless).answer(), Answer::CannotCertify);
}

/// What runs inside a sandbox: no driver, no option, no section of ours.
fn guest(program: &Program, loader: Option<&'static str>) -> Verdict {
    let mut question = Question { is_guest: true, ..question() };
    let expected = std::mem::take(&mut question.expected);
    question.forbidden.extend(expected);
    judge(&question, &Evidence::of_file(&Elf { loader, ..Elf::default() }.build(program)))
}

/// A guest as it should be.
fn static_guest() -> Program {
    Program::default()
        .text("crates/gateway/src/main.rs")
        .text("/x/tokio-1.54.1/src/runtime/mod.rs")
        .text("no driver was detected")
}

#[test]
fn a_guest_needs_no_section_of_ours_and_holds_no_driver() {
    let verdict = guest(&static_guest(), None);
    assert_eq!(verdict.answer(), Answer::Clean, "{:?}", verdict.reasons());
    let marked = guest(&static_guest().marker("crate:driver-moon"), None);
    assert_eq!(marked.answer(), Answer::Leak);
    let sdk = guest(&static_guest().text("/x/sunlight-2.1.0/src/lib.rs"), None);
    assert_eq!(sdk.answer(), Answer::Leak);
    assert_eq!(
        guest(&Program::default().text("x"), None).answer(),
        Answer::CannotCertify,
        "no guest of ours"
    );
}

#[test]
fn a_guest_that_is_not_linked_static_is_not_certified() {
    let verdict = guest(&static_guest(), Some("/lib64/ld-linux-x86-64.so.2"));
    assert_eq!(failed(&verdict), ["linked"]);
    assert_eq!(
        verdict.reasons(),
        [
            "control `linked`: it is not linked static: the kernel would start it by `/lib64/ld-linux-x86-64.so.2`, \
          which no sandbox has to have"
        ]
    );
    let gateway = Elf { loader: Some("/lib64/ld-linux-x86-64.so.2"), ..Elf::default() }.build(&clean());
    assert_eq!(judge(&question(), &built(&gateway)).answer(), Answer::Clean, "a gateway may be");
    let narrow = Elf { wide: false, big: true, machine: 20, loader: Some("/lib/ld.so.1"), ..Elf::default() };
    let file = narrow.build(&static_guest());
    let image = driver_verify::Image::read(&file).expect("a program");
    assert_eq!(image.interpreter(), Ok(Some("/lib/ld.so.1".to_owned())));
}

/// A leak is a leak, also when the rest is blind.
#[test]
fn a_positive_outweighs_everything_blind() {
    let program = Program::default().text("/x/sunlight-2.1.0/src/lib.rs");
    assert_eq!(of_file(&program.elf()).answer(), Answer::Leak);
    let whole = clean().text("/x/sunlight-2.1.0/src/lib.rs").elf();
    let verdict = of_file(&whole[..whole.len() - 64]);
    assert!(verdict.unreadable.is_some());
    assert_eq!(verdict.answer(), Answer::Leak);
}
