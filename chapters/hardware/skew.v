// A delay of CLOCKS clocks.
module skew #(
    parameter CLOCKS = 1
) (
    /* verilator lint_off UNUSEDSIGNAL */ // no clock for a delay of none
    input  wire              clk,
    /* verilator lint_on UNUSEDSIGNAL */
    input  wire signed [8:0] in,
    output wire signed [8:0] out
);
    generate
        if (CLOCKS == 0) begin : none
            assign out = in;
        end else begin : some
            reg  [9*CLOCKS-1:0] held;
            wire [9*CLOCKS+8:0] line = {held, in};
            always @(posedge clk) held <= line[9*CLOCKS-1:0];
            assign out = line[9*CLOCKS +: 9];
        end
    endgenerate
endmodule
