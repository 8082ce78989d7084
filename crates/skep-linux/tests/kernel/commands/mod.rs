//! Every command of `bpf(2)`, each by its method, on this kernel.
//!
//! The table has one row a command; a command without a row fails a test, and a row of a command
//! that this kernel is too old for must fail by saying so.

mod links;
mod maps;
mod programs;

use std::collections::BTreeSet;

use skep_abi::Command;
use skep_host::{Errno, Error};
use skep_testing::{Outcome, Stop, Test, ensure};

use crate::token;

/// A command, the name of its test, and the test.
type Row = (Command, &'static str, fn() -> Outcome);

const TABLE: &[Row] = &[
    (Command::MapCreate, "commands::map_create", maps::map_create),
    (
        Command::MapLookupElem,
        "commands::map_lookup_elem",
        maps::elements,
    ),
    (
        Command::MapUpdateElem,
        "commands::map_update_elem",
        maps::elements,
    ),
    (
        Command::MapDeleteElem,
        "commands::map_delete_elem",
        maps::elements,
    ),
    (
        Command::MapGetNextKey,
        "commands::map_get_next_key",
        maps::elements,
    ),
    (
        Command::ProgLoad,
        "commands::prog_load",
        programs::prog_load,
    ),
    (Command::ObjPin, "commands::obj_pin", maps::pins),
    (Command::ObjGet, "commands::obj_get", maps::pins),
    (
        Command::ProgAttach,
        "commands::prog_attach",
        programs::attach,
    ),
    (
        Command::ProgDetach,
        "commands::prog_detach",
        programs::attach,
    ),
    (
        Command::ProgTestRun,
        "commands::prog_test_run",
        programs::test_run,
    ),
    (
        Command::ProgGetNextId,
        "commands::prog_get_next_id",
        programs::program_ids,
    ),
    (
        Command::MapGetNextId,
        "commands::map_get_next_id",
        maps::map_ids,
    ),
    (
        Command::ProgGetFdById,
        "commands::prog_get_fd_by_id",
        programs::program_ids,
    ),
    (
        Command::MapGetFdById,
        "commands::map_get_fd_by_id",
        maps::map_ids,
    ),
    (
        Command::ObjGetInfoByFd,
        "commands::obj_get_info_by_fd",
        programs::info,
    ),
    (Command::ProgQuery, "commands::prog_query", programs::query),
    (
        Command::RawTracepointOpen,
        "commands::raw_tracepoint_open",
        links::raw_tracepoint,
    ),
    (Command::BtfLoad, "commands::btf_load", links::btf_ids),
    (
        Command::BtfGetFdById,
        "commands::btf_get_fd_by_id",
        links::btf_ids,
    ),
    (
        Command::TaskFdQuery,
        "commands::task_fd_query",
        links::task_fd,
    ),
    (
        Command::MapLookupAndDeleteElem,
        "commands::map_lookup_and_delete_elem",
        maps::take,
    ),
    (Command::MapFreeze, "commands::map_freeze", maps::freeze),
    (
        Command::BtfGetNextId,
        "commands::btf_get_next_id",
        links::btf_ids,
    ),
    (
        Command::MapLookupBatch,
        "commands::map_lookup_batch",
        maps::batches,
    ),
    (
        Command::MapLookupAndDeleteBatch,
        "commands::map_lookup_and_delete_batch",
        maps::batches,
    ),
    (
        Command::MapUpdateBatch,
        "commands::map_update_batch",
        maps::batches,
    ),
    (
        Command::MapDeleteBatch,
        "commands::map_delete_batch",
        maps::batches,
    ),
    (Command::LinkCreate, "commands::link_create", links::links),
    (Command::LinkUpdate, "commands::link_update", links::links),
    (
        Command::LinkGetFdById,
        "commands::link_get_fd_by_id",
        links::links,
    ),
    (
        Command::LinkGetNextId,
        "commands::link_get_next_id",
        links::links,
    ),
    (
        Command::EnableStats,
        "commands::enable_stats",
        programs::statistics,
    ),
    (Command::IterCreate, "commands::iter_create", links::iterate),
    (Command::LinkDetach, "commands::link_detach", links::links),
    (
        Command::ProgBindMap,
        "commands::prog_bind_map",
        programs::bind_map,
    ),
    (
        Command::TokenCreate,
        "commands::token_create",
        token::create,
    ),
    (
        Command::ProgStreamReadByFd,
        "commands::prog_stream_read_by_fd",
        programs::stream,
    ),
    (
        Command::ProgAssocStructOps,
        "commands::prog_assoc_struct_ops",
        programs::assoc_struct_ops,
    ),
];

pub(crate) fn trials() -> Vec<Test> {
    let mut trials = vec![
        Test::new("commands::each_has_a_row", complete),
        Test::new(
            "commands::a_map_that_is_exclusive_to_a_program",
            maps::exclusive,
        ),
        Test::new(
            "commands::a_program_binds_its_fd_array",
            programs::bound_array,
        ),
        Test::new("commands::a_program_tells_all_its_parts", programs::parts),
        Test::new(
            "commands::iterator_links_tell_their_scope",
            links::iterator_scopes,
        ),
        Test::new(
            "commands::a_link_of_an_element_iterator_tells_its_map",
            links::element_iterator_scope,
        ),
        Test::new(
            "commands::what_is_opened_closes_on_exec",
            links::close_on_exec,
        ),
        Test::new(
            "commands::a_link_of_struct_ops_needs_its_map",
            links::no_struct_ops,
        ),
    ];
    trials.extend(TABLE.iter().map(|&(_, name, test)| Test::new(name, test)));
    trials
}

fn complete() -> Outcome {
    let rows: BTreeSet<u32> = TABLE.iter().map(|(command, ..)| command.raw()).collect();
    let without: Vec<_> = Command::ALL
        .iter()
        .filter(|command| !rows.contains(&command.raw()))
        .collect();
    ensure(without.is_empty() && rows.len() == TABLE.len(), || {
        format!("no row, or two: {without:?}")
    })
}

/// The errno of a refusal that names its command.
fn refused(error: &Error, command: Command) -> Result<Errno, Stop> {
    match error {
        Error::Command {
            command: of, errno, ..
        } if *of == command => Ok(*errno),
        _ => Err(Stop::Fail(format!("{error:?}"))),
    }
}
