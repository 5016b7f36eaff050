import CommandLineKit
import Ego
import EgoCore
import EgoOperations
import Synchronization

extension Command where Context == CommandContext {
    static var projectionRun: Command {
        Command(
            "run", summary: "run projections until interrupted",
            discussion: [
                "Where another process runs a projection, this one waits, and takes over when that one ends. An event that cannot be processed stops its projection; the others go on.",
                "A read model in SQL is declared in a configuration file as [projection.NAME], and needs the descriptors of the messages.",
            ],
            output: .projection, columns: ProjectionView.runColumns, options: { ProjectionOptionsGiven() },
            flags: [
                Flag(
                    "until-caught-up", arity: .toggle(negated: false),
                    summary: "end when there is nothing more to process"
                ) { (value, options) in options.isUntilCaughtUp = value.isOn }
            ],
            operands: [.projection(.any, "the projections; without one, all that can be run")],
            examples: [Example("projection run balances --until-caught-up", "process what there is, and end")],
            exitCodes: [.failure] + ProjectionOptionsGiven.changing + [.interrupted]
        ) { options, context in
            try await context.withStore(readOnly: context.global.isDryRun) { store in
                let catalog = ProjectionCatalog(context)
                let names = options.names.isEmpty ? catalog.names : options.names
                if names.isEmpty {
                    throw CommandFailure(
                        .config, "projection run", "there is no projection to run",
                        hint: "run your application's own operator binary, or declare one in SQL as [projection.NAME]")
                }
                var projections: [Projection] = []
                for name in names where !projections.contains(where: { $0.name == name }) {
                    projections.append(try await catalog.projection(name, in: store))
                }
                if context.global.isDryRun { return try await preview(projections, store, context) }
                do {
                    return try await run(projections, untilCaughtUp: options.isUntilCaughtUp, store, context)
                } catch let error as StoreError where error.code == .invalid {
                    throw CommandFailure.readModel(error)
                }
            }
        }
    }

    /// What there is to process.
    private static func preview(
        _ projections: [Projection], _ store: any Store, _ context: CommandContext
    ) async throws -> CommandOutput {
        let names = projections.map(\.name)
        let lags = try await Lag(of: store, declared: names, time: context.time).measure(names)
        let records = lags.filter { $0.engine == .ego }.map { lag in
            OutputValue.object([
                .init("name", .text(lag.name)), .init("state", .text(lag.state.rawValue)),
                .init("events", .number(lag.eventsBehind)), .init("error", .optional(lag.failure?.message)),
            ])
        }
        return CommandOutput(
            fields: [.init("dry_run", .bool(true))],
            records: RecordList("projections", columns: ProjectionView.runColumns, records))
    }

    private static func run(
        _ projections: [Projection], untilCaughtUp: Bool, _ store: any Store, _ context: CommandContext
    ) async throws -> CommandOutput {
        let progress = context.progress("projection run")
        defer { progress.finish() }
        let counts = Mutex<[String: Int]>([:])
        let person = context.person
        let ends = try await withThrowingTaskGroup(of: (String, ProjectionRunner.End).self) { group in
            for projection in projections {
                let runner = ProjectionRunner(
                    projection, store: store, reader: context.readingDomain.reader,
                    owner: person.leaseOwner(), time: context.time, log: context.log, isGone: person.isGone,
                    progress: { events in
                        let done = counts.withLock { counts in
                            counts[projection.name, default: 0] += events
                            return counts.values.reduce(0, +)
                        }
                        progress.report(done: done, total: nil, unit: "events")
                    },
                    observer: { status in
                        let name = Escape.shown(projection.name)
                        switch status {
                        case .standby: context.note("\(name): another process runs it; this one waits for it to end")
                        case .paused where !untilCaughtUp: context.note("\(name) is paused; it waits to be resumed")
                        case .waiting(let error): context.note("\(name) waits: \(Escape.shown(error))")
                        default: break
                        }
                    })
                group.addTask {
                    if untilCaughtUp { return (projection.name, try await runner.runUntilCaughtUp()) }
                    try await runner.run()
                    return (projection.name, .cancelled)
                }
            }
            var ends: [String: ProjectionRunner.End] = [:]
            for try await (name, end) in group { ends[name] = end }
            return ends
        }
        let done = counts.withLock { $0 }
        if Task.isCancelled {
            var failure = CommandFailure(CancellationError())
            failure.changed = !done.isEmpty
            failure.hint = "\(done.values.reduce(0, +)) events were processed; what was committed is kept"
            throw failure
        }
        let records = projections.map { projection in
            var state = "caught_up"
            var error: String?
            switch ends[projection.name] {
            case .failed(let failure): (state, error) = ("failed", failure.message)
            case .paused: state = "paused"
            default: break
            }
            return OutputValue.object([
                .init("name", .text(projection.name)), .init("state", .text(state)),
                .init("events", .number(done[projection.name] ?? 0)), .init("error", .optional(error)),
            ])
        }
        let diagnostics = projections.compactMap { projection -> Diagnostic? in
            switch ends[projection.name] {
            case .failed(let failure):
                Diagnostic(
                    .error, code: "failed",
                    "\(Escape.shown(projection.name)) has stopped at event \(failure.sequenceNumber) of \(Escape.shown(failure.persistenceID.rawValue)): \(Escape.shown(failure.message))",
                    hint:
                        "mend the handler, or name --keys where the payload is encrypted, and run it again; ego projection skip passes the event over"
                )
            case .paused:
                Diagnostic(
                    .warning, code: "paused", "\(Escape.shown(projection.name)) is paused",
                    hint:
                        "ego projection show \(Escape.shellWord(projection.name)) tells whether an operator or a rebuild holds it"
                )
            default: nil
            }
        }
        let hasFailed = ends.values.contains { if case .failed = $0 { true } else { false } }
        let code: ExitCode = hasFailed ? .failure : ends.values.contains(.paused) ? .refused : .ok
        return CommandOutput(records: RecordList("projections", columns: ProjectionView.runColumns, records)) {
            CommandOutput.Completion(
                changed: !done.isEmpty, exitCode: code, diagnostics: diagnostics)
        }
    }
}
