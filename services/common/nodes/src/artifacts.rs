//! Which artifact a node means.

use shipway_events::{
    plan::{Artifact, Fork},
    run::NodeError,
};

use crate::{
    StepContext,
    step::{codes, fail},
    workload::Build,
};

/// What a node says about the build that it wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuildChoice<'a> {
    /// The build service.
    pub(crate) service: &'a str,
    /// Its branch, if it matters.
    pub(crate) branch: Option<&'a str>,
    /// A build's id; the newest when none or `latest`.
    pub(crate) build: Option<&'a str>,
    /// A commit; any when none or `latest`.
    pub(crate) commit: Option<&'a str>,
}

impl StepContext<'_> {
    /// The artifact of a build.
    pub(crate) fn built(&self, choice: BuildChoice<'_>) -> Result<&Artifact, NodeError> {
        let service = choice.service;
        match choice.build.filter(|build| !matches!(*build, "latest" | "")) {
            Some(build) => self.build_of_id(build, &choice),
            None => self.newest_build(&choice).ok_or_else(|| {
                let branch = choice.branch.map(|branch| format!(" of the branch `{branch}`")).unwrap_or_default();
                let commit = known(choice.commit).map(|sha| format!(" at commit {sha}")).unwrap_or_default();
                fail(
                    codes::NO_BUILD,
                    format!("`{service}` has no finished build{branch}{commit}; build first with a `Build` node with `condition: success`"),
                )
            }),
        }
    }

    fn build_of_id(&self, build: &str, choice: &BuildChoice<'_>) -> Result<&Artifact, NodeError> {
        let service = choice.service;
        let Some(artifact) = self.builds.get(build) else {
            let help = if self.is_own(build) {
                "it has not finished: give its `Build` node `condition: success`"
            } else {
                "name a finished build, `latest`, or `${refs.<build node>.id}`"
            };
            return Err(fail(
                codes::NO_BUILD,
                format!("there is no artifact of the build `{build}`: {help}"),
            ));
        };
        if artifact.service != service {
            let message = format!("the build `{build}` is one of `{}`, not of `{service}`", artifact.service);
            return Err(fail(codes::NO_BUILD, message));
        }
        if let Some(branch) = choice.branch.filter(|branch| !self.is_of_branch(artifact, branch)) {
            let message =
                format!("the build `{build}` is of the branch `{}`, not `{branch}`", artifact.branch);
            return Err(fail(codes::NO_BUILD, message));
        }
        Ok(artifact)
    }

    /// Ids of builds sort by the start of their run; what this run has built is newest. Nobody gets another run's build of
    /// a pull request without saying so.
    fn newest_build(&self, choice: &BuildChoice<'_>) -> Option<&Artifact> {
        let wanted = |id: &str, artifact: &Artifact| {
            artifact.service == choice.service
                && known(choice.commit).is_none_or(|commit| commit == artifact.commit)
                && match choice.branch {
                    Some(branch) => self.is_of_branch(artifact, branch),
                    None => self.is_own(id) || !Build::is_pull_request(&artifact.branch),
                }
        };
        let all = self.builds.iter().filter(|(id, artifact)| wanted(id, artifact));
        all.max_by_key(|(id, _)| (self.is_own(id), run_and_node(id))).map(|(_, artifact)| artifact)
    }

    /// Whether this run made the build.
    fn is_own(&self, build: &str) -> bool {
        build.starts_with(&format!("b-{}-", self.run_part()))
    }

    /// Whether a build is of a branch. In the run of a fork's pull request what it built of that is of the fork's branch.
    fn is_of_branch(&self, artifact: &Artifact, branch: &str) -> bool {
        let of_fork = |fork: &Fork| {
            fork.branch == branch
                && self.is_own(&artifact.build)
                && artifact.branch == Build::of_pull_request(fork.pull_request)
        };
        artifact.branch == branch || self.fork.is_some_and(of_fork)
    }

    /// What runs, or is kept, at a service or job: what this run gave it, else what it had at the start.
    pub(crate) fn current(&self, slug: &str) -> Option<&Artifact> {
        self.released.get(slug).or_else(|| self.deployed.get(slug))
    }

    /// The newest backup of an addon.
    pub(crate) fn newest_backup(&self, addon: &str) -> Option<&str> {
        let all = self.backups.iter().filter(|(_, pin)| pin.addon == addon);
        all.max_by_key(|(id, _)| run_and_node(id)).map(|(id, _)| id.as_str())
    }
}

fn known(commit: Option<&str>) -> Option<&str> {
    commit.filter(|commit| !matches!(*commit, "latest" | ""))
}

/// The parts of an id made by [`StepContext::made`], so that node 10 comes after node 9.
fn run_and_node(id: &str) -> (&str, u32) {
    match id.rsplit_once('-') {
        Some((run, node)) => (run, node.parse().unwrap_or_default()),
        None => (id, 0),
    }
}
