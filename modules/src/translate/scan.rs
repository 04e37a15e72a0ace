//! What is to become of each `try` of a function, seen before anything is written.

use wasmparser::{FunctionBody, Operator};

use super::{Error, malformed};

/// What the `try`s of a function are, in the order in which they begin.
pub(super) struct Plan {
    pub(super) tries: Vec<Try>,
    /// Whether an exception is delivered to the function's caller, past handlers.
    pub(super) landing: bool,
}

/// One `try`.
#[derive(Default)]
pub(super) struct Try {
    pub(super) catches: Vec<Catch>,
    /// Where it delegates to, past other handlers.
    pub(super) delegate: Option<Target>,
    /// Whether an exception is delivered to its body, past handlers.
    pub(super) landing: bool,
}

/// A handler.
pub(super) struct Catch {
    /// The tag, or all exceptions.
    pub(super) tag: Option<u32>,
    /// Whether the exception is thrown on.
    pub(super) rethrown: bool,
}

/// Where an exception is delivered.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// To the body of this `try`.
    Try(usize),
    /// To the caller.
    Caller,
}

/// What a label stands for.
#[derive(Clone, Copy)]
pub(super) enum Label {
    Block,
    /// In the body of a `try`.
    Body(usize),
    /// In a handler of a `try`.
    Handler(usize, usize),
}

/// Looks at a function; `None` where it has none of the older instructions.
pub(super) fn scan(body: &FunctionBody<'_>) -> Result<Option<Plan>, Error> {
    let mut plan = Plan {
        tries: Vec::new(),
        landing: false,
    };
    // The outermost label is the function's.
    let mut labels = vec![Label::Block];
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        match reader.read()? {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. } => labels.push(Label::Block),
            Operator::Try { .. } => {
                labels.push(Label::Body(plan.tries.len()));
                plan.tries.push(Try::default());
            }
            Operator::Catch { tag_index } => plan.handler(&mut labels, Some(tag_index))?,
            Operator::CatchAll => plan.handler(&mut labels, None)?,
            Operator::Rethrow { relative_depth } => match at(&labels, relative_depth)? {
                (_, Label::Handler(index, catch)) => {
                    plan.tries[index].catches[catch].rethrown = true
                }
                _ => return Err(malformed("it rethrows outside of a handler")),
            },
            Operator::Delegate { relative_depth } => plan.delegate(&mut labels, relative_depth)?,
            Operator::End => {
                labels
                    .pop()
                    .ok_or_else(|| malformed("a function has too many ends"))?;
            }
            _ => {}
        }
    }
    Ok((!plan.tries.is_empty()).then_some(plan))
}

impl Plan {
    fn handler(&mut self, labels: &mut [Label], tag: Option<u32>) -> Result<(), Error> {
        let wrong = || malformed("it has a handler outside of a try");
        let label = labels.last_mut().ok_or_else(wrong)?;
        let (Label::Body(index) | Label::Handler(index, _)) = *label else {
            return Err(wrong());
        };
        let catches = &mut self.tries[index].catches;
        if catches.last().is_some_and(|last| last.tag.is_none()) {
            return Err(malformed(
                "it has a handler behind the one for all exceptions",
            ));
        }
        *label = Label::Handler(index, catches.len());
        catches.push(Catch {
            tag,
            rethrown: false,
        });
        Ok(())
    }

    fn delegate(&mut self, labels: &mut Vec<Label>, depth: u32) -> Result<(), Error> {
        let Some(Label::Body(delegating)) = labels.pop() else {
            return Err(malformed("it delegates outside of a try"));
        };
        // What is thrown in a handler, or in a block, is for the next `try` around it whose body that is.
        let (named, _) = at(labels, depth)?;
        let body = |label: &Label| matches!(label, Label::Body(_));
        let target = labels[..=named].iter().rposition(body);
        let between = &labels[target.map_or(0, |target| target + 1)..];
        if !between.iter().any(body) {
            // It gets there by itself.
            return Ok(());
        }
        self.tries[delegating].delegate = Some(match target.map(|target| labels[target]) {
            Some(Label::Body(index)) => {
                self.tries[index].landing = true;
                Target::Try(index)
            }
            _ => {
                self.landing = true;
                Target::Caller
            }
        });
        Ok(())
    }
}

/// The label at a depth, and its place.
fn at(labels: &[Label], depth: u32) -> Result<(usize, Label), Error> {
    let index = labels.len().checked_sub(1 + depth as usize);
    let index = index.ok_or_else(|| malformed("it names a label that it does not have"))?;
    Ok((index, labels[index]))
}
