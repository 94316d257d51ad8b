// Stochastic rounding that makes its own random bits: y = saturate(floor((v + r * 2^(shift - n)) / 2^shift)).
//
// r is the n low bits of a Galois LFSR that shifts right and steps `steps` times a value, a step a clock: values are
// taken when v_ready, answered `steps` clocks later, while y_valid. (For a value a clock one would unroll the steps.)
// taps: bit e - 1 for every exponent e of the polynomial, so that its highest bit gives the width.
module stochastic_rounder (
    input  wire               clk,
    input  wire               reset,
    input  wire               set_lfsr,
    input  wire        [31:0] new_lfsr,  // not 0
    input  wire        [31:0] taps,
    input  wire        [6:0]  steps,     // 1 to 127
    input  wire        [5:0]  n,         // 1 to 32
    input  wire        [5:0]  shift,
    input  wire signed [32:0] qmin,
    input  wire signed [32:0] qmax,
    output wire               v_ready,
    input  wire               v_valid,
    input  wire signed [63:0] v,
    output reg                y_valid,
    output reg         [31:0] y,
    output reg         [31:0] r,
    output reg         [31:0] lfsr
);
    localparam [2:0] STOCHASTIC = 3'd4;

    reg               working;
    reg        [6:0]  left;
    reg signed [63:0] value;

    wire [31:0] stepped = {1'b0, lfsr[31:1]} ^ (lfsr[0] ? taps : 32'd0);
    wire [31:0] drawn   = stepped & (32'hffff_ffff >> (6'd32 - n));
    wire        last    = working && left == 7'd1;

    assign v_ready = !working || last;

`ifdef BROKEN
    wire [5:0] below_point = n < shift ? shift : n;  // r at the lowest bit, as if it had `shift` bits
`else
    wire [5:0] below_point = n;
`endif
    wire signed [65:0] rounded;
    round_shift #(.WIDTH(66)) round (.value({{2{value[63]}}, value}), .shift(shift), .rounding(STOCHASTIC), .r(drawn),
                                     .n(below_point), .rounded(rounded));

    wire signed [65:0] low  = {{33{qmin[32]}}, qmin};
    wire signed [65:0] high = {{33{qmax[32]}}, qmax};

    always @(posedge clk) begin
        y_valid <= last && !reset;
        if (last) begin
            y <= rounded < low ? qmin[31:0] : rounded > high ? qmax[31:0] : rounded[31:0];
            r <= drawn;
        end
        if (v_ready && v_valid) begin
            value <= v;
            left  <= steps;
        end else left <= left - 7'd1;
        if (reset)        working <= 1'b0;
        else if (v_ready) working <= v_valid;
        if (set_lfsr)     lfsr <= new_lfsr;
        else if (working) lfsr <= stepped;
    end
endmodule
