import EgoCore

extension StoreContract {
    static let erasureLaws = [
        StoreLaw(nil, "erasures are listed in their order, and whoever reads on misses none") { fixture, law in
            let store = try await fixture.makeStore()
            let other = try await fixture.second(store)
            let ids = try ["b", "a", "c"].map { try law.id($0) }
            _ = try await store.append(ids.map { law.append(2, to: $0) })
            try law.expectEqual(try await store.erasures(after: 0, limit: 10), [], "the erasures of a new store")
            for (index, id) in ids.enumerated() {
                let tombstone = Tombstone(persistenceID: id, sequenceNumber: 2, erasedAt: law.start)
                _ = try await (index == 1 ? other : store).commit([.placeTombstone(tombstone)], under: nil)
                _ = try await store.commit([.placeTombstone(tombstone)], under: nil)
            }
            let all = try await store.erasures(after: 0, limit: 10)
            try law.expectEqual(all.map(\.persistenceID), ids, "the erasures")
            try law.expect(zip(all, all.dropFirst()).allSatisfy { $0.number < $1.number }, "the numbers do not grow")
            try law.expectEqual(
                try await other.erasures(after: all[0].number, limit: 1), [all[1]], "the erasures after one")
        },
        StoreLaw(nil, "what an erased entity has left elsewhere is counted and deleted") { fixture, law in
            let store = try await fixture.makeStore()
            let (a, b) = (try law.id("a"), try law.id("b"))
            _ = try await store.append([law.append(3, to: a), law.append(1, to: b)])
            let events = try await store.journal(after: .start, shard: nil, limit: .standard).events
            for version in [1, 2] {
                let letters = events.map { event in
                    DeadLetter(
                        event, projection: "p", version: version, error: "no", attempts: 1, failedAt: law.start)
                }
                _ = try await store.commit(
                    [
                        .advance(
                            ProjectionAdvance(projection: "p", version: version, offsets: [], deadLetters: letters))
                    ], under: nil)
            }
            try law.expectEqual(try await store.deadLetterCount(of: a), 6, "the dead letters of an entity")
            _ = try await store.commit([.eraseTraces(of: a)], under: nil)
            try law.expectEqual(try await store.deadLetterCount(of: a), 0, "those that are left")
            try law.expectEqual(try await store.deadLetterCount(of: b), 2, "those of another entity")
        },
        StoreLaw(nil, "the newest inline state is found and dropped, and nothing else is") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            let state = AnyPayload(typeURL: "type.googleapis.com/test.State", value: [1, 2])
            var writer = WireWriter()
            writer.varint(7, field: 99)
            let other = writer.bytes
            var request = law.append(5, to: id)
            request.events[0].unknownFields = PersistedEvent.unknownFields(inlineState: state)
            request.events[2].unknownFields = other + PersistedEvent.unknownFields(inlineState: state)
            request.events[3].unknownFields = other
            _ = try await store.append([request])
            func newest(_ last: SequenceNumber) async throws -> SequenceNumber? {
                let event = try await store.newestInlineState(of: id, through: last)
                return event?.sequenceNumber
            }
            try law.expectEqual(try await newest(.max), 3, "the newest inline state")
            try law.expectEqual(try await newest(2), 1, "the newest up to a number")
            let found = try await store.newestInlineState(of: id, through: .max)
            try law.expectEqual(try found?.inlineState(), state, "the state")
            let dropped = try await store.commit([.dropInlineState(of: id, from: 2, through: 5)], under: nil)
            try law.expectEqual(dropped, [1], "the number of events that lost one")
            try law.expectEqual(try await newest(.max), 1, "the newest that is left")
            let events = try await store.events(of: id, from: 1, through: .max, limit: .standard)
            try law.expectEqual(events.map(\.unknownFields)[2...], [other, other, []], "the other fields")
            try law.expectEqual(events.map(\.payload), request.events.map(\.payload), "the payloads")
        },
        StoreLaw(nil, "a durable state keeps the key that it is encrypted with") { fixture, law in
            let store = try await fixture.makeStore()
            let (a, b) = (try law.id("a"), try law.id("b"))
            func write(_ version: SequenceNumber, key: String) -> StateWrite {
                StateWrite(
                    persistenceID: a, expectedVersion: version, timestamp: law.start,
                    payload: law.event(version.rawValue == 0 ? 1 : 2).payload, encryptionKeyID: key,
                    isEncrypted: !key.isEmpty)
            }
            _ = try await store.save([write(0, key: "k1")])
            var state = try await store.state(of: a)
            try law.expectEqual(state?.encryptionKeyID, "k1", "the key")
            try law.expectEqual(state?.isEncrypted, true, "whether it is encrypted")
            if var copy = state {
                copy.persistenceID = b
                _ = try await store.commit([.addState(copy)], under: nil)
                try law.expectEqual(try await store.state(of: b)?.encryptionKeyID, "k1", "the key of an added state")
            }
            _ = try await store.save([write(1, key: "")])
            state = try await store.state(of: a)
            try law.expectEqual(state?.isEncrypted, false, "whether the next version is encrypted")
            try law.expectEqual(state?.isDamaged, false, "whether it is damaged")
        },
        StoreLaw(nil, "nothing is left in files of what was deleted") { fixture, law in
            let store = try await fixture.makeStore()
            let (a, b) = (try law.id("entity-a"), try law.id("entity-b"))
            _ = try await store.append([law.append(40, to: a), law.append(40, to: b)])
            var sample = PayloadSample()
            for event in try await store.events(of: a, from: 1, through: .max, limit: .standard) {
                sample.add(event.payload)
            }
            _ = try await store.commit([.deleteEvents(of: a, through: .max)], under: nil)
            let report = try await store.purge(ResidueSearch(ids: [a], sample: sample))
            try law.expectEqual(report.residues, 0, "what is left")
            try law.expectEqual(try await law.stream(b, of: store).count, 40, "the events of another entity")
            try law.expectEqual(
                try await store.residue(ResidueSearch(ids: [a], sample: sample)).residues, 0,
                "what another look finds")
        },
    ]
}
