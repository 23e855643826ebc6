//! The stable names of problems: one closed list, each with an explanation.
//!
//! A code never changes its meaning and is never given to something else. Its explanation stands in `codes.md`:
//! what it says, a document that has it, and the way out. `shipway lint --explain CODE` prints it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The explanations of all codes, one section each.
const EXPLANATIONS: &str = include_str!("codes.md");

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+) => {
        /// The stable name of a kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the explanations.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name: `ref.unknown`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

codes! {
    /// The text is no JSON or YAML, or more of it than is read.
    TextSyntax = "text.syntax",
    /// Something else is wrong with the document.
    DocumentInvalid = "document.invalid",
    /// Something else is right in the format and not supported.
    DocumentUnsupported = "document.unsupported",
    /// Something else works and should be written otherwise.
    DocumentDoubtful = "document.doubtful",
    /// It is not clear what kind of document it is, or it is another than was said.
    DocumentType = "document.type",
    /// A member that must be there is not.
    FieldMissing = "field.missing",
    /// A value has the wrong type.
    FieldType = "field.type",
    /// A value is none of those that are allowed.
    FieldValue = "field.value",
    /// A number is too small or too large.
    FieldRange = "field.range",
    /// A member is probably misspelt.
    FieldUnknown = "field.unknown",
    /// A name has characters or a length that names cannot have.
    NameInvalid = "name.invalid",
    /// Another name of something is used.
    AliasUsed = "alias.used",
    /// There is no such kind of node.
    KindUnknown = "kind.unknown",
    /// A kind of node is not allowed in this type of document.
    KindPlace = "kind.place",
    /// A kind of node is not carried out by this version.
    KindUnsupported = "kind.unsupported",
    /// A node cannot wait for that.
    ConditionInvalid = "condition.invalid",
    /// Nothing has the name that an expression uses.
    RefUnknown = "ref.unknown",
    /// Two things have one name.
    RefDuplicate = "ref.duplicate",
    /// A name cannot stand in an expression.
    RefInvalid = "ref.invalid",
    /// A node uses its own outputs, or those of what is around or in it.
    RefSelf = "ref.self",
    /// A node has not run when its outputs are needed.
    RefLater = "ref.later",
    /// A node never has outputs when these are needed.
    RefNever = "ref.never",
    /// A node may have no outputs when these are needed.
    RefMaybe = "ref.maybe",
    /// An output is only known when its node has ended, and nothing waits for that.
    RefUnfinished = "ref.unfinished",
    /// A kind of node has no such output.
    RefPath = "ref.path",
    /// A node in a loop is named from outside of it.
    RefLoop = "ref.loop",
    /// A node that tells what an iteration is about stands in no loop.
    LoopData = "loop.data",
    /// Nothing uses a name.
    RefUnused = "ref.unused",
    /// There is no such trigger.
    TriggerUnknown = "trigger.unknown",
    /// A trigger has no such value.
    TriggerPath = "trigger.path",
    /// There is no such argument.
    ArgUnknown = "arg.unknown",
    /// Nothing uses an argument.
    ArgUnused = "arg.unused",
    /// An argument has no value where one is needed.
    ArgRequired = "arg.required",
    /// The value of an argument is not one that it takes.
    ArgValue = "arg.value",
    /// An expression cannot be read.
    ExprSyntax = "expr.syntax",
    /// An expression makes a value of the wrong type.
    ExprType = "expr.type",
    /// There is no such function.
    FnUnknown = "fn.unknown",
    /// A function is given too few or too many arguments.
    FnArguments = "fn.arguments",
    /// A function or a form of the language is not carried out by this version.
    ExprUnsupported = "expr.unsupported",
    /// A regular expression uses what cannot be matched in linear time.
    RegexUnsupported = "regex.unsupported",
    /// A secret would decide what happens.
    SecretSteers = "secret.steers",
    /// A value looks like a credential.
    SecretLiteral = "secret.literal",
    /// Steps wait for each other in a circle.
    GraphCycle = "graph.cycle",
    /// A step waits for something that there is not.
    GraphUnknown = "graph.unknown",
    /// A step waits for something that is not beside it.
    GraphForeign = "graph.foreign",
    /// `dependsOn` stands where it has no meaning.
    GraphPlace = "graph.place",
    /// A node never runs.
    NodeUnreachable = "node.unreachable",
    /// `skipNodeExecution` is always true.
    SkipConstant = "skip.constant",
    /// A workflow has no steps.
    WorkflowEmpty = "workflow.empty",
    /// A flow has more nodes than a run may have.
    FlowTooLarge = "flow.too-large",
    /// There is no such resource.
    ResourceUnknown = "resource.unknown",
    /// A resource is not of the kind that is needed.
    ResourceKind = "resource.kind",
    /// A resource is of another project.
    ResourceForeign = "resource.foreign",
    /// A resource is not a member of the flow's stage.
    StageMember = "stage.member",
    /// What is promoted is not in the stage before.
    StagePromotion = "stage.promotion",
    /// A node holds a lock while it waits for a run that needs it.
    LockHeld = "lock.held",
}

impl Code {
    /// What it says, a document that has it, and the way out, as Markdown without the heading.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        let mut sections = EXPLANATIONS.split("\n## ").skip(1);
        let found = sections.find_map(|section| {
            let (name, text) = section.split_once('\n')?;
            (name.trim() == self.as_str()).then(|| text.trim())
        });
        found.unwrap_or_default()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no problem has the code `{0}`")]
pub struct UnknownCode(String);

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_explained_once_and_nothing_else_is() {
        let names: Vec<_> =
            EXPLANATIONS.lines().filter_map(|line| line.strip_prefix("## ")).map(str::trim).collect();
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names, codes);
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
        for code in Code::ALL {
            assert!(code.explanation().contains("\nWay out: "), "{code} says no way out");
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        assert_eq!("ref.nothing".parse::<Code>(), Err(UnknownCode("ref.nothing".into())));
    }
}
