//! One function, rewritten.

use wasm_encoder::reencode::Reencode;
use wasm_encoder::{Encode, Instruction};
use wasmparser::{BlockType, FunctionBody, Operator, RefType, ValType};

use super::scan::{Plan, Target, Try};
use super::types::{Landing, NewTypes, write_type};
use super::{Error, Module, SAME, leb, malformed};

const BLOCK: u8 = 0x02;
const TRY_TABLE: u8 = 0x1f;
const THROW_REF: u8 = 0x0a;
const END: u8 = 0x0b;
const BR: u8 = 0x0c;
const RETURN: u8 = 0x0f;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;

/// The forms of a handler in `try_table`.
const CATCH: u8 = 0;
const CATCH_REF: u8 = 1;
const CATCH_ALL: u8 = 2;
const CATCH_ALL_REF: u8 = 3;

/// Locals of a function, at most, in every engine.
const LOCALS_MAX: u64 = 50_000;

/// Writes one function.
pub(super) struct Rewriter<'m> {
    module: &'m Module,
    new: &'m mut NewTypes,
    plan: &'m Plan,
    /// What the instruction at hand becomes.
    code: Vec<u8>,
    /// The labels of the function as it was.
    frames: Vec<Frame>,
    /// Labels that are open in what is written.
    open: u32,
    /// `try`s that were begun.
    begun: usize,
    /// The first local for an exception that is thrown on.
    first_local: u32,
    /// Locals for such exceptions that are in use, and that were at most.
    locals: u32,
    locals_most: u32,
}

/// A label of the function as it was.
struct Frame {
    /// What branches to it go to, counted from the outermost label.
    label: u32,
    of: Option<TryFrame>,
}

/// What a `try` is at the moment.
struct TryFrame {
    /// Its number.
    index: usize,
    /// The handler that is being written.
    handler: Option<usize>,
    /// Where exceptions are delivered to its body.
    landing: Option<u32>,
    /// The local for an exception that is thrown on.
    local: Option<u32>,
}

impl<'m> Rewriter<'m> {
    pub(super) fn new(module: &'m Module, new: &'m mut NewTypes, plan: &'m Plan) -> Rewriter<'m> {
        Rewriter {
            module,
            new,
            plan,
            code: Vec::new(),
            frames: Vec::new(),
            open: 0,
            begun: 0,
            first_local: 0,
            locals: 0,
            locals_most: 0,
        }
    }

    /// The function's body: its locals and its instructions. It has `params` parameters.
    pub(super) fn function(
        mut self,
        body: &FunctionBody<'_>,
        params: usize,
    ) -> Result<Vec<u8>, Error> {
        let bytes = body.as_bytes();
        let base = body.range().start;
        let mut declared = body.get_locals_reader()?;
        let groups = declared.get_count();
        let first = declared.original_position();
        let mut locals = params as u64;
        for _ in 0..groups {
            locals = locals.saturating_add(declared.read()?.0.into());
        }
        if locals > LOCALS_MAX {
            return Err(Error::TooLarge("locals"));
        }
        self.first_local = locals as u32;
        let declared =
            &bytes[(first - base) as usize..(declared.original_position() - base) as usize];
        let instructions = self.instructions(body, bytes, base)?;

        let mut function = Vec::with_capacity(bytes.len() + bytes.len() / 4);
        let more = u32::from(self.locals_most > 0);
        leb(&mut function, u64::from(groups) + u64::from(more));
        function.extend_from_slice(declared);
        if self.locals_most > 0 {
            leb(&mut function, self.locals_most.into());
            write_type(&mut function, ValType::Ref(RefType::EXNREF))?;
        }
        function.extend(instructions);
        Ok(function)
    }

    fn instructions(
        &mut self,
        body: &FunctionBody<'_>,
        bytes: &[u8],
        base: u64,
    ) -> Result<Vec<u8>, Error> {
        self.frames.push(Frame { label: 0, of: None });
        self.open = 1;
        if self.plan.landing {
            self.open_landing(BlockType::Empty)?;
        }
        let mut instructions = Vec::with_capacity(bytes.len() + bytes.len() / 4);
        instructions.append(&mut self.code);
        let mut reader = body.get_operators_reader()?;
        // What has not been written yet, of what stays as it is.
        let mut kept = (reader.original_position() - base) as usize;
        while !reader.eof() {
            let start = (reader.original_position() - base) as usize;
            let operator = reader.read()?;
            if self.instruction(operator)? {
                instructions.extend_from_slice(&bytes[kept..start]);
                instructions.append(&mut self.code);
                kept = (reader.original_position() - base) as usize;
            }
        }
        instructions.extend_from_slice(&bytes[kept..]);
        Ok(instructions)
    }

    /// Writes an instruction, unless it stays as it is.
    fn instruction(&mut self, operator: Operator<'_>) -> Result<bool, Error> {
        match &operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                self.push_block();
                return Ok(false);
            }
            Operator::Try { blockty } => {
                self.begin(*blockty)?;
                return Ok(true);
            }
            Operator::Catch { .. } | Operator::CatchAll => {
                self.handler()?;
                return Ok(true);
            }
            Operator::Delegate { .. } => {
                self.end()?;
                return Ok(true);
            }
            Operator::Rethrow { relative_depth } => {
                let of = self.frame(*relative_depth)?.of.as_ref();
                let local = of.and_then(|of| of.local);
                let local = local.ok_or_else(|| malformed("it rethrows outside of a handler"))?;
                self.code.push(LOCAL_GET);
                leb(&mut self.code, local.into());
                self.code.push(THROW_REF);
                return Ok(true);
            }
            Operator::End => {
                let frame = self
                    .frames
                    .last()
                    .ok_or_else(|| malformed("a function has too many ends"))?;
                if frame.of.is_some() {
                    self.end()?;
                    return Ok(true);
                }
                if self.frames.len() == 1 && self.plan.landing {
                    self.code.extend([RETURN, END, THROW_REF]);
                    self.open -= 1;
                    self.frames.pop();
                    // The function's own end stays.
                    self.code.push(END);
                    return Ok(true);
                }
                self.open -= 1;
                self.frames.pop();
                return Ok(false);
            }
            _ => {}
        }
        self.branch(operator)
    }

    /// Writes an instruction with labels, unless these stay as they are.
    fn branch(&mut self, mut operator: Operator<'_>) -> Result<bool, Error> {
        match &mut operator {
            Operator::Br { relative_depth }
            | Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. }
            | Operator::BrOnCastDescEq { relative_depth, .. }
            | Operator::BrOnCastDescEqFail { relative_depth, .. } => {
                let moved = self.moved(*relative_depth)?;
                if moved == *relative_depth {
                    return Ok(false);
                }
                *relative_depth = moved;
            }
            Operator::BrTable { targets } => {
                let labels = targets.targets().map(|label| self.moved(label?));
                let labels = labels.collect::<Result<Vec<u32>, Error>>()?;
                let default = self.moved(targets.default())?;
                Instruction::BrTable(labels.into(), default).encode(&mut self.code);
                return Ok(true);
            }
            Operator::TryTable { try_table } => {
                // Its handlers' labels are counted from outside of it.
                for catch in &mut try_table.catches {
                    let (wasmparser::Catch::One { label, .. }
                    | wasmparser::Catch::OneRef { label, .. }
                    | wasmparser::Catch::All { label }
                    | wasmparser::Catch::AllRef { label }) = catch;
                    *label = self.moved(*label)?;
                }
                self.push_block();
            }
            Operator::Resume { .. }
            | Operator::ResumeThrow { .. }
            | Operator::ResumeThrowRef { .. } => {
                return Err(malformed(
                    "it switches stacks beside the older exception instructions",
                ));
            }
            _ => return Ok(false),
        }
        let mut same = SAME;
        same.instruction(operator)?.encode(&mut self.code);
        Ok(true)
    }

    fn push_block(&mut self) {
        self.frames.push(Frame {
            label: self.open,
            of: None,
        });
        self.open += 1;
    }

    /// The label at a depth, as the function had them.
    fn frame(&self, depth: u32) -> Result<&Frame, Error> {
        let index = self.frames.len().checked_sub(1 + depth as usize);
        let index = index.ok_or_else(|| malformed("it names a label that it does not have"))?;
        Ok(&self.frames[index])
    }

    /// How deep the label is now that was at a depth.
    fn moved(&self, depth: u32) -> Result<u32, Error> {
        Ok(self.depth_of(self.frame(depth)?.label))
    }

    fn depth_of(&self, label: u32) -> u32 {
        self.open - 1 - label
    }

    /// Opens a block that ends with a reference to an exception, where others deliver it.
    fn open_landing(&mut self, of: BlockType) -> Result<u32, Error> {
        self.code.push(BLOCK);
        let landing = Landing {
            tag: None,
            exception: true,
        };
        self.new.landing(self.module, &mut self.code, of, landing)?;
        self.open += 1;
        Ok(self.open - 1)
    }

    fn block_type(&mut self, ty: BlockType) -> Result<(), Error> {
        let mut same = SAME;
        same.block_type(ty)?.encode(&mut self.code);
        Ok(())
    }

    /// Begins a `try`.
    fn begin(&mut self, ty: BlockType) -> Result<(), Error> {
        let index = self.begun;
        self.begun += 1;
        let plan = self.plan.tries.get(index);
        let plan = plan.ok_or_else(|| malformed("it has a try too many"))?;
        let label = self.open;
        let mut local = None;
        if let Some(target) = plan.delegate {
            let landing = self.landing(target)?;
            // Labels are counted from outside of the `try_table`.
            let depth = self.depth_of(landing);
            self.code.push(TRY_TABLE);
            self.block_type(ty)?;
            self.code.extend([1, CATCH_ALL_REF]);
            leb(&mut self.code, depth.into());
            self.open += 1;
        } else {
            self.code.push(BLOCK);
            self.block_type(ty)?;
            self.open += 1;
            if !plan.catches.is_empty() {
                self.handlers(plan, ty)?;
            }
            if plan.catches.iter().any(|catch| catch.rethrown) {
                local = Some(self.first_local + self.locals);
                self.locals += 1;
                self.locals_most = self.locals_most.max(self.locals);
            }
        }
        let landing = match plan.landing {
            true => Some(self.open_landing(ty)?),
            false => None,
        };
        let of = TryFrame {
            index,
            handler: None,
            landing,
            local,
        };
        self.frames.push(Frame {
            label,
            of: Some(of),
        });
        Ok(())
    }

    /// A block for each handler, the first innermost, and the `try_table` that leads to them.
    fn handlers(&mut self, plan: &Try, ty: BlockType) -> Result<(), Error> {
        for catch in plan.catches.iter().rev() {
            self.code.push(BLOCK);
            let landing = Landing {
                tag: catch.tag,
                exception: catch.rethrown,
            };
            self.new.landing(self.module, &mut self.code, ty, landing)?;
            self.open += 1;
        }
        self.code.push(TRY_TABLE);
        self.block_type(ty)?;
        leb(&mut self.code, plan.catches.len() as u64);
        for (depth, catch) in plan.catches.iter().enumerate() {
            self.code.push(match (catch.tag, catch.rethrown) {
                (Some(_), false) => CATCH,
                (Some(_), true) => CATCH_REF,
                (None, false) => CATCH_ALL,
                (None, true) => CATCH_ALL_REF,
            });
            if let Some(tag) = catch.tag {
                leb(&mut self.code, tag.into());
            }
            leb(&mut self.code, depth as u64);
        }
        self.open += 1;
        Ok(())
    }

    /// The label where exceptions are delivered to a target.
    fn landing(&self, target: Target) -> Result<u32, Error> {
        match target {
            // The first label in the function.
            Target::Caller => Ok(1),
            Target::Try(index) => {
                let mut open = self.frames.iter().filter_map(|frame| frame.of.as_ref());
                let landing = open.find(|of| of.index == index).and_then(|of| of.landing);
                landing.ok_or_else(|| malformed("it delegates to what is not there"))
            }
        }
    }

    /// Ends a body or a handler, and begins the next handler.
    fn handler(&mut self) -> Result<(), Error> {
        let wrong = || malformed("it has a handler outside of a try");
        let frame = self.frames.last_mut().ok_or_else(wrong)?;
        let outer = frame.label;
        let of = frame.of.as_mut().ok_or_else(wrong)?;
        let next = of.handler.map_or(0, |handler| handler + 1);
        let first = of.handler.replace(next).is_none();
        let landing = of.landing.take_if(|_| first).is_some();
        let (index, local) = (of.index, of.local);
        if first {
            if landing {
                self.close_landing(outer);
            }
            self.code.push(END);
            self.open -= 1;
        }
        self.branch_to(outer);
        self.code.push(END);
        self.open -= 1;
        let catch = self
            .plan
            .tries
            .get(index)
            .and_then(|plan| plan.catches.get(next));
        if let (true, Some(local)) = (catch.ok_or_else(wrong)?.rethrown, local) {
            self.code.push(LOCAL_SET);
            leb(&mut self.code, local.into());
        }
        Ok(())
    }

    /// Ends a `try`.
    fn end(&mut self) -> Result<(), Error> {
        let wrong = || malformed("it ends a try that it did not begin");
        let frame = self.frames.pop().ok_or_else(wrong)?;
        let of = frame.of.ok_or_else(wrong)?;
        if of.landing.is_some() && of.handler.is_none() {
            self.close_landing(frame.label);
        }
        if of.local.is_some() {
            self.locals -= 1;
        }
        self.code.push(END);
        self.open -= 1;
        Ok(())
    }

    /// Ends the block where exceptions are delivered, and throws what arrived there.
    fn close_landing(&mut self, outer: u32) {
        self.branch_to(outer);
        self.code.extend([END, THROW_REF]);
        self.open -= 1;
    }

    fn branch_to(&mut self, label: u32) {
        self.code.push(BR);
        let depth = self.depth_of(label);
        leb(&mut self.code, depth.into());
    }
}
