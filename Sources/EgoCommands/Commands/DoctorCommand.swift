import CommandLineKit
import EgoCore
import EgoOperations
import EgoPostgres

extension Command where Context == CommandContext {
    static var doctor: Command {
        Command(
            "doctor", summary: "check configuration, store and environment",
            discussion: [
                "A line for each check, with the remedy where something is wrong. It reads no records; whether these are whole is for ego verify to say. Problems end it with exit code 2, warnings do not."
            ],
            output: .doctor, columns: columns, options: { EmptyOptions() },
            examples: [Example("doctor", "what is wrong, and what to do about it")],
            exitCodes: [.findings, .timedOut]
        ) { _, context in
            let checks = await Doctor(context).checks()
            let problems = checks.count { $0.status == .problem }
            let warnings = checks.count { $0.status == .warning }
            return CommandOutput(
                records: RecordList("checks", columns: columns, checks.map(\.value))
            ) {
                CommandOutput.Completion(
                    fields: [.init("problems", .number(problems)), .init("warnings", .number(warnings))],
                    exitCode: problems > 0 ? .findings : .ok)
            }
        }
    }

    private static var columns: [Column] {
        [.word("check"), .word("status"), .sentence("message"), .sentence("remedy")]
    }
}

/// One thing that was looked at.
struct DoctorCheck {
    enum Status: String { case ok, warning, problem }

    var name: String
    var status: Status
    var message: String
    var remedy: String?

    init(_ name: String, _ status: Status, _ message: String, remedy: String? = nil) {
        self.name = name
        self.status = status
        self.message = message
        self.remedy = remedy
    }

    var value: OutputValue {
        .object([
            .init("check", .text(name)), .init("status", .text(status.rawValue)),
            .init("message", .text(message)), .init("remedy", .optional(remedy)),
        ])
    }
}

/// Looks at everything that a store needs to be operated.
private struct Doctor {
    private let context: CommandContext

    init(_ context: CommandContext) { self.context = context }

    typealias Check = DoctorCheck

    func checks() async -> [Check] {
        var checks = [configuration, environment, domain]
        do {
            let location = try context.location
            let store = try await context.open(readOnly: true)
            checks.append(Check("store", .ok, "\(location.text) can be opened"))
            do { checks += try await records(store) } catch { checks.append(failed("store", error)) }
            if let store = ((store as? EncryptedStore)?.base ?? store) as? PostgresStore {
                checks += await PostgresChecks(store: store).checks()
            }
            await store.close()
            checks += files(location)
        } catch {
            checks.append(failed("store", error))
        }
        return checks
    }

    private func failed(_ name: String, _ error: any Error) -> Check {
        let failure = CommandFailure(error)
        return Check(name, .problem, failure.why, remedy: failure.hint)
    }

    // MARK: Around the store

    private var configuration: Check {
        if let problem = context.configurationProblem {
            return Check("configuration", .problem, problem.description, remedy: problem.hint)
        }
        let files = context.configuration.files.map(\.path)
        return Check(
            "configuration", .ok,
            files.isEmpty ? "no configuration file; defaults are in use" : files.joined(separator: ", "))
    }

    /// A misspelled variable would be silently ignored.
    private var environment: Check {
        let known = GlobalOptions.flags.map { Configuration.variable(of: $0.long) }
        let unknown = context.console.environment.keys.filter { $0.hasPrefix("EGO_") && !known.contains($0) }.sorted()
        guard let first = unknown.first else {
            return Check("environment", .ok, "no unknown variable starts with EGO_")
        }
        return Check(
            "environment", .warning, "no flag belongs to \(unknown.map { Escape.shown($0) }.joined(separator: ", "))",
            remedy: Suggestion.hint(for: first, among: known) ?? "unset it")
    }

    private var domain: Check {
        let kinds = context.domain.kinds.map(\.name)
        if kinds.isEmpty {
            return Check(
                "domain", .warning, "no behavior is linked: replay and send do not work, payloads are shown as base64",
                remedy: "run your application's operator binary, or name it with --domain FILE")
        }
        return Check("domain", .ok, "\(context.domain.name), with \(kinds.joined(separator: ", "))")
    }

    // MARK: In the store

    private func records(_ store: any Store) async throws -> [Check] {
        let status = try await StoreStatus(of: store)
        let version = status.metadata.schemaVersion
        var checks = [
            Check("schema", .ok, "version \(version), \(status.metadata.shardCount) shards")
        ]
        let flaws = try await store.flaws(isThorough: false)
        checks += flaws.map { Check("schema", .problem, $0.message, remedy: $0.remedy) }
        let offsets = status.hazards.filter { $0.code == "offset_ahead_of_head" }
        checks += offsets.map {
            Check(
                "offsets", .problem, $0.message, remedy: "it will miss events: rebuild it, or reset it to the head")
        }
        if offsets.isEmpty {
            checks.append(Check("offsets", .ok, "none is past the head, \(status.statistics.head)"))
        }
        checks.append(jobs(status.jobs))
        checks += try await leases(store)
        checks.append(try await clock(store, status.statistics.head))
        let hazards = try await store.hazards(now: context.time.now(), isThorough: true)
        checks += hazards.filter { $0.code != "offset_ahead_of_head" }.map { hazard in
            Check(hazard.code, hazard.isProblem ? .problem : .warning, hazard.message, remedy: hazard.remedy)
        }
        if hazards.isEmpty { checks.append(Check("hazards", .ok, "none was found in the journal")) }
        return checks
    }

    private func jobs(_ jobs: [Job]) -> Check {
        let unfinished = jobs.filter(\.state.isUnfinished)
        guard let first = unfinished.first else { return Check("jobs", .ok, "none is unfinished") }
        return Check(
            "jobs", .warning, "\(unfinished.count) unfinished, the last one \(first.id)",
            remedy: "repeat the command that started it, or give it up: ego jobs discard \(first.id)")
    }

    private func leases(_ store: any Store) async throws -> [Check] {
        let now = context.time.now()
        let leases = try await store.leases()
        let stale = leases.filter { $0.expiresAt <= now }
        guard let first = stale.first else {
            return [Check("leases", .ok, leases.isEmpty ? "none is held" : "\(leases.count) held")]
        }
        return [
            Check(
                "leases", .warning, "\(stale.count) ran out and were not given back, as that of \(first.owner)",
                remedy: "nothing has to be done: the next one who needs it takes it over")
        ]
    }

    /// An event from the future was written by a clock that is ahead of this one.
    private func clock(_ store: any Store, _ head: Offset) async throws -> Check {
        let before = Offset(transactionID: head.transactionID, position: Position(max(0, head.position.rawValue - 100)))
        let page = try await store.journal(after: before, shard: nil, limit: PageLimit(rows: 100))
        let newest = page.events.map(\.timestamp).max()
        guard let newest, newest > context.time.now().advanced(by: .seconds(5)) else {
            return Check("clock", .ok, "no event is from the future")
        }
        let seconds = newest.duration(since: context.time.now()).components.seconds
        return Check(
            "clock", .problem, "the newest event is \(seconds) s in the future",
            remedy: "set the clocks of the machines that write to this store")
    }

    // MARK: On disk

    private func files(_ location: StoreLocation) -> [Check] {
        switch location {
        case .postgres(let url):
            guard url.hasPassword else { return [] }
            return [
                Check(
                    "url", .warning, "the store's URL holds a password, which others can read where it is written",
                    remedy: "use PGPASSWORD, a password file (~/.pgpass) or a service file")
            ]
        case .sqlite(let path):
            return SQLiteFileChecks(path: path).checks.map { found in
                let status: Check.Status = found.isProblem ? .problem : found.isWarning ? .warning : .ok
                return Check("file", status, found.message, remedy: found.remedy)
            }
        }
    }
}
