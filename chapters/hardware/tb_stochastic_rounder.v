// Runs a case of stochastic.lfsr_shift through stochastic_rounder: reads in_v.mem and state0_lfsr.mem of +given, writes
// mid_r.mem, out_y.mem and state1_lfsr.mem into +answers.
module tb_stochastic_rounder;
    localparam SIZE = 1 << 17;  // elements of the largest tensor

`include "bench.vh"

    integer count, v_bits, v_signed, y_bits, r_bits, shift, width, n, steps;
    reg signed [32:0] qmin, qmax;

    reg [63:0] v_memory [0:SIZE-1];
    reg [31:0] state [0:0], y_memory [0:SIZE-1], r_memory [0:SIZE-1];

    reg         set_lfsr = 0, v_valid = 0;
    reg  [31:0] taps;
    reg  [63:0] v;
    wire        v_ready, y_valid;
    wire [31:0] y, r, lfsr;

    stochastic_rounder dut (
        .clk(clk), .reset(reset), .set_lfsr(set_lfsr), .new_lfsr(state[0]), .taps(taps), .steps(steps[6:0]),
        .n(n[5:0]), .shift(shift[5:0]), .qmin(qmin), .qmax(qmax), .v_ready(v_ready), .v_valid(v_valid), .v(v),
        .y_valid(y_valid), .y(y), .r(r), .lfsr(lfsr));

    // bit e - 1 for every exponent e of the primitive polynomial of this width
    function [31:0] taps_of(input integer bits_of_state);
        case (bits_of_state)
            8:       taps_of = 32'h0000_00b8; // 8, 6, 5, 4
            16:      taps_of = 32'h0000_b400; // 16, 14, 13, 11
            24:      taps_of = 32'h00e1_0000; // 24, 23, 22, 17
            default: taps_of = 32'h8020_0003; // 32, 22, 2, 1
        endcase
    endfunction

    integer answered = 0;
    always @(posedge clk) if (y_valid) begin
        y_memory[answered] <= y;
        r_memory[answered] <= r;
        answered <= answered + 1;
    end

    integer i, file;
    initial begin
        find_directories;
        count    = plusarg("count");
        v_bits   = plusarg("v_bits");
        v_signed = plusarg("v_signed");
        y_bits   = plusarg("y_bits");
        r_bits   = plusarg("r_bits");
        shift    = plusarg("shift");
        width    = plusarg("width");
        n        = plusarg("n");
        steps    = plusarg("steps");
        if (!$value$plusargs("qmin=%d", qmin) || !$value$plusargs("qmax=%d", qmax)) $fatal; // 33 bits
        taps = taps_of(width);
        $readmemh({given, "/in_v.mem"}, v_memory, 0, count - 1);
        $readmemh({given, "/state0_lfsr.mem"}, state);
        set_lfsr = 1;
        @(negedge clk) reset = 0;
        set_lfsr = 0;
        for (i = 0; i < count; i = i + 1) begin
            v = v_memory[i];
            if (v_signed != 0) v = $signed(v << (64 - v_bits)) >>> (64 - v_bits);
            v_valid = 1;
            while (!v_ready) @(negedge clk);
            @(negedge clk) v_valid = 0;
        end
        while (answered < count) @(negedge clk);

        file = opened("mid_r");
        for (i = 0; i < count; i = i + 1) put(file, 64'(r_memory[i]), r_bits);
        $fclose(file);
        file = opened("out_y");
        for (i = 0; i < count; i = i + 1) put(file, 64'(y_memory[i]), y_bits);
        $fclose(file);
        file = opened("state1_lfsr");
        put(file, 64'(lfsr), 32);
        $fclose(file);
        $finish;
    end
endmodule
