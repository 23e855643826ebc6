//! Who may be a member of a stage.

use super::{fixtures::*, given};
use crate::domain::{Command, Why};

#[test]
fn services_jobs_and_addons_become_members() {
    let declaration = declare(
        "shop",
        vec![
            stage(0, "Development", &[("web-dev", "service")]),
            stage(1, "Staging", &[("web-staging", ""), ("migrate", "job"), ("shop-db", "addon")]),
        ],
    );
    given(resources()).when(declaration).then(&[
        pipeline("shop").into(),
        member("Development", id::WEB_DEV),
        member("Staging", id::WEB_STAGING),
        member("Staging", id::MIGRATE),
        member("Staging", id::DB),
    ]);
}

#[test]
fn all_that_cannot_be_a_member_is_refused_at_once_each_with_its_reason() {
    let members = [
        ("shop-builder", "service"),
        ("site", "service"),
        ("nightly", "job"),
        ("shop-env", ""),
        ("web-dve", "service"),
        ("migrate", "service"),
    ];
    let at = |n: usize| format!("/spec/stages/0/nfObjects/{n}");
    given(resources()).when(declare("shop", vec![stage(0, "Development", &members)])).refused(&[
        (&at(0), Why::BuildServiceMember { slug: "shop-builder".into() }),
        (&at(1), Why::CombinedServiceMember { slug: "site".into() }),
        (&at(2), Why::GitJobMember { slug: "nightly".into() }),
        (&at(3), Why::SecretGroupMember { slug: "shop-env".into() }),
        (&at(4), Why::NoSuchResource { id: "web-dve".into(), suggestion: " Did you mean `web-dev`?".into() }),
        (
            &at(5),
            Why::MemberType {
                slug: "migrate".into(),
                kind: "ManualJob".into(),
                is: "job",
                said: "service".into(),
            },
        ),
    ]);
}

#[test]
fn a_resource_of_another_project_is_refused() {
    let mut wish = stage(0, "Development", &[("blog/blog-web", "service")]);
    wish.members[0].found_in = Some("blog".into());
    let why = Why::OtherProject { id: "blog/blog-web".into(), project: "blog".into() };
    given(resources()).when(declare("shop", vec![wish])).refused(&[("/spec/stages/0/nfObjects/0", why)]);
}

#[test]
fn a_resource_is_in_one_pipeline() {
    let why = Why::InOtherPipeline { slug: "web-dev".into(), stage: "shop/Development".into() };
    given(shop())
        .when(declare("second", vec![stage(0, "Development", &[("web-dev", "service")])]))
        .refused(&[("/spec/stages/0/nfObjects/0", why)]);
}

#[test]
fn a_resource_is_in_one_stage_moving_is_removing_and_adding() {
    let moved = || declare("shop", vec![stage(0, "Production", &[("web-staging", "service")])]);
    let why = Why::InOtherStage { slug: "web-staging".into(), stage: "shop/Staging".into() };
    given(shop()).when(moved()).refused(&[("/spec/stages/0/nfObjects/0", why)]);

    let removed = shipway_events::project::MemberRemoved {
        pipeline: pipeline_id(0),
        stage: "Staging".into(),
        resource: resource_id(id::WEB_STAGING),
    };
    given(shop())
        .when(Command::RemoveMember { resource: "web-staging".into() })
        .then(&[removed.into()])
        .when(moved())
        .then(&[member("Production", id::WEB_STAGING)]);
}

#[test]
fn a_resource_declared_in_two_stages_of_one_document_is_refused() {
    let wish = declare(
        "shop",
        vec![
            stage(0, "Development", &[("web-dev", "service"), ("web-dev", "service")]),
            stage(1, "Staging", &[("web-dev", "service")]),
        ],
    );
    let why = Why::InOtherStage { slug: "web-dev".into(), stage: "shop/Development".into() };
    given(resources()).when(wish).refused(&[("/spec/stages/1/nfObjects/0", why)]);
}

#[test]
fn members_that_a_later_document_leaves_out_stay() {
    let given =
        given(shop()).when(declare("shop", vec![stage(0, "Staging", &[("migrate", "job")])])).then(&[]);
    assert_eq!(given.0.members.len(), 4);
}
