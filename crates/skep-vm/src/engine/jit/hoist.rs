//! Conversions to floating-point numbers leave loops in which their operand stays the same: the
//! compiler moves nothing, for the sake of the time that it takes.

use cranelift_codegen::{
    Context,
    ir::{Block, Function, Inst, Opcode, ValueDef},
};

/// Moves each conversion to where its operand is defined, if that is in fewer loops.
pub(super) fn run(context: &mut Context) {
    let conversions = conversions(&context.func);
    if conversions.is_empty() {
        return;
    }
    context.compute_cfg();
    context.compute_domtree();
    context.compute_loop_analysis();
    for (block, inst) in conversions {
        let Some(place) = behind_operand(&context.func, inst) else {
            continue;
        };
        let layout = &mut context.func.layout;
        let loops = |block| context.loop_analysis.loop_level(block);
        if layout
            .inst_block(place)
            .is_some_and(|to| loops(to) < loops(block))
        {
            layout.remove_inst(inst);
            layout.insert_inst(inst, place);
        }
    }
}

fn conversions(function: &Function) -> Vec<(Block, Inst)> {
    let blocks = function.layout.blocks();
    let all = blocks.flat_map(|block| {
        let insts = function.layout.block_insts(block);
        insts.map(move |inst| (block, inst))
    });
    all.filter(|(_, inst)| function.dfg.insts[*inst].opcode() == Opcode::FcvtFromSint)
        .collect()
}

/// The instruction before which the only operand of `inst` is there for the first time.
fn behind_operand(function: &Function, inst: Inst) -> Option<Inst> {
    let operand = *function.dfg.inst_args(inst).first()?;
    match function
        .dfg
        .value_def(function.dfg.resolve_aliases(operand))
    {
        ValueDef::Result(by, _) => function.layout.next_inst(by),
        ValueDef::Param(block, _) => function.layout.first_inst(block),
        ValueDef::Union(..) => None,
    }
}
