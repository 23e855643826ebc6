//! Documents are checked without being published: by themselves, and as the next version of a flow.

use shipway_contracts::v1::{CheckDocumentRequest, Problem, SourceFile, problem::Severity};
use tonic::Code;

use crate::support::{Lab, SHOP};

const FLOW: &str = "\
spec:
  kind: Workflow
  spec:
    type: sequential
    steps:
      - kind: Release
        spec: { type: deployment, origin: { id: web, type: service }, target: { id: web-dvv, type: service } }
        condition: running
";

async fn check(lab: &Lab, flow: &str, document_type: &str) -> Result<Vec<Problem>, tonic::Status> {
    let file = SourceFile { name: "flow.yaml".to_owned(), text: FLOW.to_owned() };
    let request = CheckDocumentRequest {
        file: Some(file),
        document_type: document_type.to_owned(),
        project: String::new(),
        flow: flow.to_owned(),
    };
    lab.pipelines().check_document(request).await.map(|reply| reply.into_inner().problems)
}

#[tokio::test]
async fn as_a_version_of_a_flow_the_project_is_known() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let before = lab.head().await;
    assert_eq!(check(&lab, "", "").await.unwrap(), [], "by itself nothing is known of the project");

    let found = check(&lab, "shop/staging", "").await.unwrap();
    let said: Vec<_> = found.iter().map(|problem| (problem.line, problem.code.as_str())).collect();
    assert_eq!(said, [(7, "stage.promotion"), (7, "resource.unknown")]);
    assert_eq!(found[0].severity(), Severity::Error);
    assert_eq!((found[0].file.as_str(), found[0].column), ("flow.yaml", 49));
    assert_eq!((found[0].end_line, found[0].end_column), (7, 52));
    assert!(!found[0].help.is_empty());
    assert_eq!(lab.head().await, before, "nothing is published");
}

#[tokio::test]
async fn what_cannot_be_checked_is_said() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let unknown = check(&lab, "shop/stagin", "").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let wrong = check(&lab, "", "flow").await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert!(wrong.message().contains("`release-flow`"), "{}", wrong.message());
    let teardown = check(&lab, "", "teardown").await.unwrap();
    assert!(teardown.iter().any(|problem| problem.code == "kind.place"), "{teardown:?}");
    assert!(teardown.iter().any(|problem| problem.severity() == Severity::Unsupported), "{teardown:?}");
}
