public import EgoCore

extension Domain {
    /// The sample bank: event-sourced accounts and a projection of their
    /// balances, with the messages of eGo for Go's sample (package `samplepb`).
    public static let bank = Domain(
        name: "bank", kinds: [.eventSourced(AccountBehavior())],
        projections: [Projection("balances", AccountBalances())],
        messages: [
            MessageType(Samplepb_TransferState.self), MessageType(Samplepb_TransferStarted.self),
            MessageType(Samplepb_SourceDebited.self), MessageType(Samplepb_DestinationCredited.self),
        ], descriptorSet: SampleDescriptors.serialized)
}
