import BankDomain
import Ego
import EgoCore
import EgoOperations
import EgoSQLite
import EgoTestKit
import Synchronization
import Testing

@Suite("Operating a projection that another process runs")
struct ProjectionControlTests {
    private static let name = "p"

    private func control(_ store: any Store) -> ProjectionControl {
        ProjectionControl(store: store, by: Operator(name: "ann@host7", reason: "a test"), time: SystemTime())
    }

    /// What the runner promises.
    private func soon(_ condition: () async throws -> Bool) async throws {
        try await within(.seconds(2) * slowness, condition)
    }

    @Test("pauses it within two seconds, and it goes on when it is resumed")
    func pause() async throws {
        let folder = try StoreFolder()
        let (store, other) = (try await folder.newStore(), try await folder.open())
        try await store.add(4, of: ["a", "b"])
        let model = runner(.readModel(SeenModel()), store, ProjectionOptions(pageSize: 3))
        let operating = control(other)
        try await running(model) {
            try await within { model.status == .caughtUp }
            #expect(try await operating.pause(Self.name))
            try await soon { model.status == .paused }
            #expect(try await !operating.pause(Self.name))
            try await other.add(4, of: ["a", "b"])
            #expect(try await operating.resume(Self.name))
            #expect(try await seen(in: other).count == 4)
            try await soon { try await seen(in: other).count == 8 }
            #expect(try await !operating.resume(Self.name))
        }
        #expect(try await seen(in: other) == other.whole().map { Seen($0) })
    }

    @Test("commits nothing of a page once it is paused")
    func pauseInPage() async throws {
        let folder = try StoreFolder()
        let (store, other) = (try await folder.newStore(), try await folder.open())
        try await store.add(6, of: ["a"])
        let gate = Gatekeeper()
        let recorder = Recorder(before: { event in if event.sequenceNumber == 5 { await gate.pass() } })
        let busy = runner(.external(recorder), store, ProjectionOptions(pageSize: 3))
        try await running(busy) {
            try await within { gate.waiting == 1 }
            #expect(try await control(other).pause(Self.name))
            gate.open()
            try await soon { busy.status == .paused }
            #expect(try await Set(other.places()) == [3])
            #expect(try await control(other).resume(Self.name))
            try await soon { busy.status == .caughtUp }
        }
        #expect(recorder.seen.last?.sequence == 6 && Set(recorder.seen).count == 6)
        #expect(try await Set(other.places()) == [6])
    }

    @Test("sets it back to the start: the events come again")
    func reset() async throws {
        let folder = try StoreFolder()
        let (store, other) = (try await folder.newStore(), try await folder.open())
        try await store.add(5, of: ["a", "b"])
        let all = try await store.whole().map { Seen($0) }
        let recorder = Recorder()
        let model = runner(.external(recorder), store)
        try await running(model) {
            try await within { model.status == .caughtUp }
            let plan = try await control(other).planReset(Self.name, to: .start)
            #expect(try await control(other).reset(Self.name, as: plan))
            try await soon { recorder.seen.count == 10 }
            #expect(recorder.seen == all + all)
            let middle = try await control(other).planReset(Self.name, to: .offset(Offset(position: Position(3))))
            #expect(try await control(other).reset(Self.name, as: middle))
            try await soon { recorder.seen.count == 12 }
            #expect(recorder.seen == all + all + all.suffix(2))
        }
    }

    @Test("skips the event that it stopped at; resuming tries that event again", arguments: [true, false])
    func skip(_ isExternal: Bool) async throws {
        let folder = try StoreFolder()
        let (store, other) = (try await folder.newStore(), try await folder.open())
        try await store.add(9, of: ["a", "b"])
        let journal = try await store.whole()
        let trap = Trap()
        for index in [4, 6] { trap.set("\(Seen(journal[index]))") }
        let recorder = Recorder(trap: trap)
        let handler: Projection.Handler = isExternal ? .external(recorder) : .readModel(SeenModel(trap: trap))
        let model = runner(handler, store, ProjectionOptions(pageSize: 3))
        func isAt(_ index: Int) -> Bool {
            guard case .failed(let failure) = model.status else { return false }
            return failure.offset == journal[index].offset
        }
        try await running(model) {
            try await within { isAt(4) }
            let before = trap.tries("\(Seen(journal[4]))")
            #expect(try await control(other).resume(Self.name))
            try await soon { trap.tries("\(Seen(journal[4]))") > before }
            try await soon { isAt(4) }
            try await soon { try await other.projection(Self.name)?.failure != nil }
            let letter = try await control(other).skip(Self.name, at: nil)
            #expect(letter.offset == journal[4].offset && letter.error == "a bug in the handler")
            try await soon { isAt(6) }
            trap.clear()
            #expect(try await control(other).resume(Self.name))
            try await soon { model.status == .caughtUp }
        }
        var expected = journal.map { Seen($0) }
        expected.remove(at: 4)
        let result = isExternal ? recorder.seen : try await seen(in: other)
        #expect(result == expected)
        #expect(try await other.letters().map(\.offset) == [journal[4].offset])
        #expect(try await other.projection(Self.name)?.failure == nil)
    }

    @Test("to set it back is never lost while it is busy", arguments: Place.allCases)
    func resetRace(_ place: Place) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        let other: any Store = place == .sqlite ? try await folder.open() : store
        let count = 40
        try await store.add(count, of: ["a", "b", "c"])
        let all = try await store.whole().map { Seen($0) }
        let recorder = Recorder()
        let busy = runner(
            .external(recorder), store, ProjectionOptions(pageSize: 2), time: HurriedTime(factor: 100))
        var generator = SeededGenerator(seed: 3)
        try await running(busy) {
            var base = 0
            for round in 1...30 {
                // Past the first page, so that there is something to set back.
                let steps = Int.random(in: 4...count, using: &generator)
                try await within { recorder.seen.count >= base + steps }
                let plan = try await control(other).planReset(Self.name, to: .start)
                let mark = recorder.seen.count
                #expect(try await control(other).reset(Self.name, as: plan), "round \(round)")
                // What it had in hand may still come; then everything comes again.
                try await within { busy.status == .caughtUp && recorder.seen.count >= mark + count }
                let after = Array(recorder.seen[mark...])
                let restart = try #require(after.firstIndex(of: all[0]), "round \(round)")
                #expect(after[restart...].elementsEqual(all), "round \(round): \(after)")
                #expect(try await Set(store.places()) == [Int64(count)])
                // Something to be busy with in the next round.
                base = recorder.seen.count
                let again = try await control(other).planReset(Self.name, to: .start)
                #expect(try await control(other).reset(Self.name, as: again))
            }
        }
    }
}

@Suite("An engine's projections")
struct EngineProjectionTests {
    private func domain(_ handler: Projection.Handler, _ options: ProjectionOptions) -> Domain {
        Domain(
            name: "test", kinds: [.eventSourced(AccountBehavior())],
            projections: [
                handler.projection(options), Projection("other", Recorder(), options: options),
            ])
    }

    @Test("see promptly what its entities do, and end with it", arguments: Place.allCases)
    func engine(_ place: Place) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        // Nobody waits for the poll.
        let options = ProjectionOptions(pollInterval: .seconds(600))
        let engine = Engine(store: store, domain: domain(.readModel(SeenModel().fitting(store)), options), log: quiet())
        #expect(engine.projectionStatus("p") == nil)
        engine.startProjections(["p"])
        engine.startProjections(["p"])
        try await within { engine.projectionStatus("p") == .caughtUp }
        #expect(engine.projectionStatus("other") == nil)
        for number in 1...20 {
            let name = "a-\(number)"
            try await engine.account(name).send(create(name))
            try await engine.account(name).send(credit(1))
            try await within(.seconds(1) * slowness) { try await seen(in: store).count == 2 * number }
        }
        engine.startProjections()
        try await within { engine.projectionStatus("other") == .caughtUp }
        #expect(try await store.leases().map(\.name) == ["projection/other", "projection/p"])
        await engine.shutdown()
        #expect(try await store.leases() == [])
        #expect(engine.projectionStatus("p") == nil)
        for name in ["p", "other"] { #expect(try await Set(store.places(name)) == [40]) }
    }

    @Test("see what another process appends within the poll interval")
    func otherProcess() async throws {
        let folder = try StoreFolder()
        let (store, other) = (try await folder.newStore(), try await folder.open())
        let options = ProjectionOptions(pollInterval: .milliseconds(200))
        let engine = Engine(store: store, domain: domain(.readModel(SeenModel().fitting(store)), options), log: quiet())
        engine.startProjections(["p"])
        try await within { engine.projectionStatus("p") == .caughtUp }
        try await other.add(3, of: ["a"])
        try await within(.seconds(1) * slowness) { try await seen(in: other).count == 3 }
        await engine.shutdown()
    }

    @Test("of two engines run in one of them, and go on in the other when that one shuts down")
    func twoEngines() async throws {
        let store = InMemoryStore()
        let (first, second) = (Recorder(), Recorder())
        let options = ProjectionOptions()
        let one = Engine(store: store, domain: domain(.external(first), options), log: quiet())
        let two = Engine(store: store, domain: domain(.external(second), options), log: quiet())
        one.startProjections(["p"])
        try await within { one.projectionStatus("p") == .caughtUp }
        two.startProjections(["p"])
        try await within { two.projectionStatus("p") == .standby }
        try await one.account("a").send(create("a"))
        try await within { first.seen.count == 1 }
        await one.shutdown()
        try await two.account("b").send(create("b"))
        try await within(.seconds(5) * slowness) { second.seen.count == 1 }
        #expect(first.seen.count == 1 && first.seen != second.seen)
        await two.shutdown()
    }

    @Test("stop with the engine while the store cannot be reached")
    func shutdownInOutage() async throws {
        let broken = BrokenForAWhile(InMemoryStore(), from: 1, calls: .max)
        let engine = Engine(store: broken, domain: domain(.external(Recorder()), ProjectionOptions()), log: quiet())
        engine.startProjections(["p"])
        try await within { engine.projectionStatus("p") == .waiting("nobody is there") }
        let started = ContinuousClock.now
        await engine.shutdown()
        #expect(ContinuousClock.now - started < .seconds(2) * slowness)
    }
}
