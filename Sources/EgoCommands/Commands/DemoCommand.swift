import CommandLineKit
import EgoCore
import EgoOperations
import EgoSQLite
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `ego demo` was told.
private struct DemoOptions: Sendable {
    var entities = 100
    var events = 1_000
    var isLegacy = false
    var isEncrypted = false
    var seed: UInt64 = 1
}

extension Command where Context == CommandContext {
    static var demo: Command {
        Command(
            "demo", summary: "fill a store with sample data",
            discussion: [
                "The content is the same for the same flags. A store that is not there is created. What is there already is left as it is, so that an interrupted run can be repeated.",
                .paragraph([
                    "With ", .flag("legacy"),
                    " each event carries the state after it, as eGo v3 wrote it, and there are no snapshots. With ",
                    .flag("encrypted"), " each entity gets a key, which the master key wraps.",
                ]),
            ],
            output: .demo, options: { DemoOptions() },
            flags: [
                Flag(
                    "entities", arity: .value(placeholder: "N", completion: .none),
                    summary: "how many entities (default: 100)"
                ) { (value, options) throws(UsageError) in
                    options.entities = try integer(value.text, in: 1...10_000_000)
                },
                Flag(
                    "events", arity: .value(placeholder: "N", completion: .none),
                    summary: "how many events in all (default: 1000)"
                ) { (value, options) throws(UsageError) in
                    options.events = try integer(value.text, in: 1...1_000_000_000)
                },
                Flag(
                    "legacy", arity: .toggle(negated: false), summary: "events with inline state, as eGo v3 wrote them"
                ) {
                    (value, options) in options.isLegacy = value.isOn
                },
                Flag("encrypted", arity: .toggle(negated: false), summary: "encrypt events and snapshots") {
                    (value, options) in options.isEncrypted = value.isOn
                },
                Flag(
                    "seed", arity: .value(placeholder: "S", completion: .none),
                    summary: "what the content is made from (default: 1)"
                ) { (value, options) throws(UsageError) in options.seed = try integer(value.text, in: 0...UInt64.max) },
            ],
            examples: [
                Example("demo --store sqlite:bank.db", "a bank of 100 accounts and 1,000 events"),
                Example("demo --entities 5 --events 50 --seed 7", "a small one, always the same"),
            ],
            exitCodes: [.refused, .data, .noInput, .busy, .noPermission, .config]
        ) { options, context in
            guard let sample = context.sample else {
                throw CommandFailure(.config, "demo", "this domain has no sample")
            }
            if options.events < options.entities {
                throw UsageError(
                    "\(options.entities) entities need at least as many events", subject: "--events",
                    hint: "lower --entities, or raise --events")
            }
            let parameters = SampleParameters(
                entities: options.entities, events: options.events, isLegacy: options.isLegacy, seed: options.seed)
            if options.isEncrypted {
                if options.isLegacy {
                    throw UsageError("eGo v3 encrypted nothing", subject: "--encrypted", hint: "leave out --legacy")
                }
                _ = try context.keys?.masterKey()
            }
            return try await fill(sample, parameters, options.isEncrypted, context)
        }
    }

    private static func fill(
        _ sample: any SampleData, _ parameters: SampleParameters, _ isEncrypted: Bool, _ context: CommandContext
    ) async throws -> CommandOutput {
        func output(_ fields: [OutputValue.Field], changed: Bool) throws -> CommandOutput {
            CommandOutput(
                fields: [
                    .init("store", .text(try context.location.description)),
                    .init("entities", .number(parameters.entities)),
                    .init("events", .number(parameters.events)), .init("encrypted", .bool(isEncrypted)),
                ] + fields + [.init("dry_run", .bool(context.global.isDryRun))]
            ) { CommandOutput.Completion(changed: changed) }
        }
        if context.global.isDryRun {
            return try output([.init("written", .number(0)), .init("kept", .number(0))], changed: false)
        }
        _ = try await StoreSchema(context: context).make(shards: nil)
        let progress = context.progress("demo")
        defer { progress.finish() }
        let done = Mutex(0)
        let result: SampleFill.Result
        do {
            result = try await context.withStore(readOnly: false, encrypting: isEncrypted ? .all : nil) { store in
                try await SampleFill(store: store, sample: sample).run(parameters) { count in
                    done.withLock { $0 = count }
                    progress.report(done: count, total: parameters.events, unit: "events")
                }
            }
        } catch {
            var failure = CommandFailure(error)
            let count = done.withLock { $0 }
            failure.changed = count > 0
            if count > 0 {
                failure.hint = "\(count) of \(parameters.events) events are there; the same command goes on from here"
            }
            throw failure
        }
        return try output(
            [
                .init("snapshots", .number(result.snapshots)), .init("written", .number(result.written)),
                .init("kept", .number(result.kept)),
            ],
            changed: result.written + result.writtenSnapshots > 0)
    }
}
