/// What is measured.
package enum BenchWorkload: String, Sendable, CaseIterable {
    /// Events straight to the store: one caller, whose requests travel together.
    case append
    /// Commands through the engine, of many callers.
    case send
    /// The same on a store in memory: what the engine itself takes.
    case sendMemory = "send-memory"
    /// Commands through the engines of two processes on one store.
    case sendProcesses = "send-processes"
    /// Entities brought into memory, and what each takes of it.
    case entities
    /// Entities folded from their events.
    case replay
    /// The journal read from its beginning to its end.
    case scan
    /// A projection that does nothing with the events, and commits its offsets.
    case projection
    /// A projection that writes a table of the store's database, exactly once.
    case readModel = "read-model"
    /// How long an event takes from its acknowledgement to a projection's handler.
    case delivery
    /// A read model made anew beside the one in use, and swapped.
    case rebuild
    /// How far a projection is behind.
    case lag
    /// Entities erased, with their certificates.
    case erase
    /// The journal written to a file.
    case export
    /// A file of the journal taken into an empty store.
    case importing = "import"
    /// Commands and replay on a store that encrypts what is written to it.
    case encrypted
    /// This program, from its start to its end.
    case startup
}

/// How it is measured.
package struct BenchParameters: Sendable, Hashable {
    /// How many entities there are; at least 1.
    package var entities = 1_000
    /// How many callers there are at once, for workloads that differ by it; each a measurement of its own.
    package var clients = [1, 64]
    /// The number of the first entity that commands go to; not 0 where another process has those before.
    package var firstEntity = 0
    /// How many events each command makes.
    package var events = 1
    /// How many bytes the message of an event has.
    package var payload = 64
    /// Which entity each command is for.
    package var choice = BenchChoice.Distribution.uniform
    /// How many events there are before what reads them.
    package var journal = 100_000
    /// How long each run goes on; nil for as long as the operations take.
    package var duration: Duration? = .seconds(1)
    /// How many operations each run does at most; nil for as many as the time allows.
    package var operations: Int?
    /// How many runs there are, of which the median counts; at least 1.
    package var repeats = 3
    /// How long the work goes on before it counts.
    package var warmUp: Duration = .milliseconds(200)
    /// What choices are made from.
    package var seed: UInt64 = 1

    /// The parameters that are used unless told otherwise.
    package init() {}
}
