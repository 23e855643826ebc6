//! The judge of simulated runs: what must be true while they go, and of every run that is over.

use shipway_engine::invariants;
use shipway_events::{
    EffectClass, NodeStatus, Recorded, RunStatus,
    plan::{PlanNode, When},
    run::Event,
};

use super::{World, fold, plans::Ends};

impl World {
    /// When the run has ended as aborted, nothing of it that is not clean-up can change the world any more, save
    /// through the targets' own guards, and what the run calls unknown.
    pub(super) fn judge_abort(&mut self) {
        for node in 0..self.behaviours.len() as u32 {
            let unknown = self.observer.node(node).is_some_and(|it| it.status == NodeStatus::Unknown);
            if self.is_at_work(node) && !self.is_clean_up(node) && !unknown && !self.is_let_finish(node) {
                self.broken(format!("the run is aborted and node {node} still runs"));
            }
        }
    }

    /// A run that gives way to another does not wait for what it has only started, nor does it stop what may not be
    /// interrupted of that.
    fn is_let_finish(&self, node: u32) -> bool {
        let last = self.log.iter().rev().find_map(|recorded| match &recorded.event {
            Event::Aborting(aborting) => Some(aborting),
            _ => None,
        });
        let gives_way = last.is_some_and(|aborting| aborting.by.is_some());
        let mut around = std::iter::successors(Some(node), |n| self.plan_nodes()[*n as usize].parent);
        gives_way && around.any(|n| !self.plan_nodes()[n as usize].interruptible)
    }

    pub(super) fn note_stopped(&mut self) {
        let runs = self.executors.iter().flat_map(|executor| executor.held.values().map(|held| held.node));
        if runs.clone().all(|node| self.is_clean_up(node)) {
            let aborting = self.log.iter().find(|recorded| matches!(recorded.event, Event::Aborting(_)));
            let since = aborting.map_or(self.time(), |recorded| recorded.at);
            self.stopped_after = Some(self.time().since(since).as_millis() as u64);
        }
    }

    /// What must be true of every run that is over.
    pub(super) fn judge(&self) -> Result<(), String> {
        invariants::check_history(&self.log, 0).map_err(|broken| broken.to_string())?;
        let folded = fold(&self.log);
        let state = &self.observer;
        if folded.nodes() != state.nodes() || folded.status() != state.status() {
            return Err("the fold of the log is another state".to_owned());
        }
        for (n, node) in (0_u32..).zip(state.nodes()) {
            let plan = &self.plan_nodes()[n as usize];
            if plan.kind.ends_with("Workflow") {
                continue;
            }
            let class = plan.effect.unwrap_or(EffectClass::Keyed);
            let times = self.target.times(n);
            let given = node.attempts > 0 && plan.spec.get("child").is_none();
            let well = match &node.later {
                Some(later) => later.error.is_none() && node.status == NodeStatus::Success,
                None => node.status == NodeStatus::Success && given,
            };
            if times > 1 || (well && times != 1) {
                return Err(format!(
                    "the {class} effect of node {n} ({}) happened {times} times",
                    node.status
                ));
            }
            let entered =
                plan.parent.is_none_or(|parent| state.nodes()[parent as usize].started_at.is_some());
            let own_skip = node.reason.as_deref().is_some_and(|reason| reason.starts_with("skipNode"));
            let ran = matches!(node.status, NodeStatus::Success | NodeStatus::Failure | NodeStatus::Unknown);
            if plan.when == When::Always && entered && !own_skip && !ran {
                return Err(format!("clean-up node {n} is {}", node.status));
            }
        }
        self.judge_sequences()?;
        self.judge_giving_way()?;
        self.judge_freezes()?;
        let fine = self.behaviours.iter().all(|it| matches!(it.ends, Ends::Well));
        let hurdles = |plan: &PlanNode| {
            plan.timeout_seconds.is_some() || plan.skip.is_some() || plan.spec.get("broken").is_some()
        };
        let fine = fine && !self.given_up && !self.plan_nodes().iter().any(hurdles);
        if fine && !matches!(state.status(), RunStatus::Success | RunStatus::Aborted) {
            return Err(format!("nothing fails in it and it ended as {}", state.status()));
        }
        Ok(())
    }

    /// After a failure, only steps for failures and clean-up have run.
    fn judge_sequences(&self) -> Result<(), String> {
        let (nodes, states) = (self.plan_nodes(), self.observer.nodes());
        for (w, _) in (0_u32..).zip(nodes).filter(|(_, node)| node.spec["type"] == "sequential") {
            let steps =
                (0_u32..).zip(nodes).filter(|(_, node)| node.parent == Some(w)).map(|(n, _)| n as usize);
            let mut failed = false;
            for step in steps {
                let ran = states[step].started_at.is_some() && nodes[step].when == When::Success;
                if failed && ran {
                    return Err(format!("node {step} ran although a step before it had failed"));
                }
                failed |= states[step].status == NodeStatus::Failure;
            }
        }
        Ok(())
    }

    /// What may not be interrupted and had begun when the run gave way to another was not stopped.
    fn judge_giving_way(&self) -> Result<(), String> {
        let is_aborting = |recorded: &Recorded<Event>| matches!(recorded.event, Event::Aborting(_));
        let mut aborting = (0..self.log.len()).filter(|at| is_aborting(&self.log[*at]));
        let (Some(at), None) = (aborting.next(), aborting.next()) else { return Ok(()) };
        if !matches!(&self.log[at].event, Event::Aborting(event) if event.by.is_some()) {
            return Ok(());
        }
        let before = fold(&self.log[..at]);
        for open in before.open_attempts() {
            let status = before.node(open.node).map(|node| node.status);
            let begun = matches!(status, Some(NodeStatus::Running | NodeStatus::Waiting));
            let spared = begun && !self.plan_nodes()[open.node as usize].interruptible;
            let stopped = |recorded: &Recorded<Event>| matches!(&recorded.event, Event::NodeAborted(event) if event.node == open.node);
            if spared && self.log[at..].iter().any(stopped) {
                return Err(format!("node {} may not be interrupted and was", open.node));
            }
        }
        Ok(())
    }

    /// The plan's nodes, those of its loops included.
    fn plan_nodes(&self) -> &[PlanNode] {
        self.observer.plan().map_or(&[], |plan| &plan.nodes)
    }

    fn is_clean_up(&self, mut node: u32) -> bool {
        let nodes = self.plan_nodes();
        loop {
            if nodes[node as usize].when == When::Always {
                return true;
            }
            match nodes[node as usize].parent {
                Some(parent) => node = parent,
                None => return false,
            }
        }
    }
}
