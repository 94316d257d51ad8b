// A cell of the multiply-accumulate array: one 9 x 9 bit multiplier, one 32-bit accumulator that wraps.
module mac_cell (
    input  wire               clk,
    input  wire               load,      // the accumulator takes `first`
    input  wire               drain,     // it takes `above`, and so hands its own value down
    input  wire signed [8:0]  a,         // codes less their zero points; 0 adds nothing
    input  wire signed [8:0]  b,
    input  wire signed [31:0] first,
    input  wire signed [31:0] above,
    output reg  signed [8:0]  a_right,
    output reg  signed [8:0]  b_down,
    output reg  signed [31:0] accumulator
);
    wire signed [17:0] product = a * b;

    always @(posedge clk) begin
        a_right <= a;
        b_down  <= b;
        if (load)       accumulator <= first;
        else if (drain) accumulator <= above;
        else            accumulator <= accumulator + {{14{product[17]}}, product};
    end
endmodule
