// N2UQ's codes: how many of a channel's thresholds an accumulator has reached, of K = 2^bits - 1 that never fall.
//
// One memory and one comparator, and a binary search that finds a bit of the code a clock: accumulators are taken when
// acc_ready, answered `bits` clocks later, while code_valid. Threshold i = 1..K of a channel lies at address
// channel * 2^bits + i. Reached: threshold <= acc; with `strict`, threshold < acc.
module threshold_unit #(
    parameter ADDRESS_BITS = 12
) (
    input  wire                    clk,
    input  wire                    reset,
    input  wire                    write,
    input  wire [ADDRESS_BITS-1:0] write_address,
    input  wire signed [31:0]      write_threshold,
    input  wire [3:0]              bits,       // 1 to 8
    input  wire                    strict,
    output wire                    acc_ready,
    input  wire                    acc_valid,
    input  wire signed [31:0]      acc,
    input  wire [ADDRESS_BITS-1:0] channel,
    output reg                     code_valid,
    output reg  [7:0]              code
);
    reg signed [31:0]      memory [0:(1<<ADDRESS_BITS)-1];
    reg signed [31:0]      threshold;  // that of `found` with `probe` set, of this row
    reg signed [31:0]      value;
    reg [ADDRESS_BITS-1:0] row;
    reg [7:0]              found;      // the bits of the code so far
    reg [7:0]              probe;      // the bit that is being found; 0: none

`ifdef BROKEN
    wire reached = threshold < value;
`else
    wire reached = threshold < value || (!strict && threshold == value);
`endif

    wire [7:0] so_far = reached ? found | probe : found;
    wire       last   = probe[0];
    wire       taken  = acc_ready && acc_valid;

    assign acc_ready = probe == 8'd0 || last;

    wire [ADDRESS_BITS-1:0] next_row   = taken ? channel << bits : row;
    wire [7:0]              next_found = taken ? 8'd0 : so_far;
    wire [7:0]              next_probe = taken ? 8'd1 << (bits - 4'd1) : probe >> 1;

    always @(posedge clk) begin
        if (write) memory[write_address] <= write_threshold;
        threshold  <= memory[next_row | {{ADDRESS_BITS-8{1'b0}}, next_found | next_probe}];
        row        <= next_row;
        found      <= next_found;
        probe      <= reset ? 8'd0 : next_probe;
        code_valid <= last && !reset;
        if (last) code <= so_far;
        if (taken) value <= acc;
    end
endmodule
